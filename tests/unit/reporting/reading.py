"""Reads a page as a browser would and finds what is wrong with it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "br"}


class Reader(HTMLParser):
    """Collects elements and text; complains of tags that are not closed, crossed, or twice the same id."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.problems: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        if self._open:
            self.problems.append(f"never closed: {self._open}")
        ids = self.attributes("id")
        if len(ids) != len(set(ids)):
            self.problems.append("an id stands twice")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] != "style":
            self.texts.append(data)

    def attributes(self, name: str) -> list[str]:
        return [found for _, attributes in self.elements if (found := attributes.get(name)) is not None]

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def read(page: str) -> Reader:
    """The page, which must be sound, small and alone in the world."""
    found = Reader(page)
    assert not found.problems
    assert len(page.encode()) < 300_000
    assert page.startswith("<!DOCTYPE html>")
    assert not found.tags & {"script", "link", "iframe", "img", "object", "embed", "base", "form", "image", "use", "foreignobject"}
    assert not [key for _, attributes in found.elements for key in attributes if key.startswith("on") or key in {"src", "srcdoc"}]
    assert all(link.startswith("#") for link in found.attributes("href"))
    assert not re.search(r"url\(|@import|https?:|javascript:", page)
    assert "default-src 'none'" in found.attributes("content")[0]
    assert set(found.attributes("href")) <= {f"#{id}" for id in found.attributes("id")}
    words = set(found.text.replace(",", " ").split())
    assert not words & {"None", "nan", "inf", "NaN", "True", "False"}
    return found
