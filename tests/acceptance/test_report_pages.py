"""The pages in a real browser: nothing to scroll sideways on a telephone, nothing fetched, and text that can be read in light and
in dark."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.browser import find_browser
from tests.browser import seen as seen_by
from tests.unit.reporting.examples import CYCLE, DRIFT, QUIET, answers, column, earlier, sides

from keepfit.records import Cycle
from keepfit.reporting.page import cycle_page, drift_page

WIDTHS = (320, 360, 412, 768, 1280)
READABLE = 4.5  # contrast of text, WCAG 2.2 level AA
SENTENCE = "supercalifragilisticexpialidocious" * 9

# Looks at the page from inside and tells the page that holds it.
LOOK = """
addEventListener("load", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  const root = document.documentElement;
  const light = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (!/, 0\\)$|transparent/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const contrast = element => {
    const [one, other] = [light(getComputedStyle(element).color), light(ground(element))].sort((a, b) => b - a);
    return (one + 0.05) / (other + 0.05);
  };
  const spoken = [...document.body.querySelectorAll("*")].filter(e => !e.closest("svg") &&
    [...e.childNodes].some(child => child.nodeType === 3 && child.data.trim()));
  parent.postMessage({
    name: window.name, inner: innerWidth, scroll: root.scrollWidth, fetched: performance.getEntriesByType("resource").length,
    dark: matchMedia("(prefers-color-scheme: dark)").matches, texts: spoken.length,
    pale: spoken.filter(e => contrast(e) < READABLE).map(e => e.className + " " + contrast(e).toFixed(2) + " " + e.textContent),
    flat: [...document.querySelectorAll("svg.chart")].filter(e => !(e.getBoundingClientRect().width > 20)).length,
    alerted: window.alerted === true,
  }, "*");
});
"""
HOLDER = """<!DOCTYPE html><meta charset="utf-8"><body><script>
const seen = [];
addEventListener("message", event => { seen.push(event.data); document.body.dataset.seen = JSON.stringify(seen); });
</script>"""


@cache
def pages() -> dict[str, str]:
    """What stands in each, by a name."""
    found = sides()

    def whole(cycle: Cycle) -> str:
        return cycle_page(cycle, earlier(), found.reference, found.current, "loans", answers=answers())

    hostile = (
        "<script>alerted=true</script>",
        "\u202eright to left",
        "x" * 5000,
        "👩‍👩‍👧‍👦" * 30,
        '"><img src=x onerror="alerted=true">',
        "ﷺ" * 40,
    )
    drift = replace(DRIFT, columns=tuple(column(name, "category", 0.4, findings=(name, SENTENCE), note=name) for name in hostile))
    assert CYCLE.decision is not None
    decision = replace(
        CYCLE.decision, reasons=(SENTENCE,), signals=tuple(replace(s, name=SENTENCE) for s in CYCLE.decision.signals)
    )
    return {
        "drifted": whole(CYCLE),
        "quiet": whole(QUIET),
        "tables": drift_page(DRIFT, found.reference, found.current, "january.parquet against march.parquet"),
        "hostile": cycle_page(replace(CYCLE, id=SENTENCE, drift=drift, decision=decision), earlier(), None, None, SENTENCE),
        "empty": cycle_page(Cycle(id="1", project="p", started_at=CYCLE.started_at), (), None, None, "p"),
    }


@pytest.fixture(scope="module")
def browser() -> str:
    return find_browser()


@pytest.fixture
def looked(browser: str, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Opens every page at every width in one browser and tells what it saw."""

    def look(*flags: str) -> list[dict[str, Any]]:
        frames = []
        script = f"<script>{LOOK.replace('READABLE', str(READABLE))}</script>"
        for name, page in pages().items():
            (tmp_path / f"{name}.html").write_text(page.replace("<head>", "<head>" + script, 1), encoding="utf-8")
            frames += [
                f'<iframe name="{name} {width}" src="{name}.html" style="width:{width}px;height:900px;border:0"></iframe>'
                for width in WIDTHS
            ]
        (tmp_path / "all.html").write_text(HOLDER + "".join(frames), encoding="utf-8")
        done = seen_by(browser, (tmp_path / "all.html").as_uri(), tmp_path / "profile", *flags)
        told = re.search(r'data-seen="([^"]*)"', done.stdout)
        assert told, done.stderr[-2000:]
        seen: list[dict[str, Any]] = json.loads(html.unescape(told[1]))
        assert {each["name"] for each in seen} == {f"{name} {width}" for name in pages() for width in WIDTHS}
        return seen

    return look


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_can_be_read_at_every_width(looked: Callable[..., list[dict[str, Any]]], dark: bool) -> None:
    seen = looked(*(["--blink-settings=preferredColorScheme=0"] if dark else []))
    assert {each["dark"] for each in seen} == {dark}
    assert {each["name"]: each["inner"] for each in seen} == {f"{name} {width}": width for name in pages() for width in WIDTHS}
    assert not [(each["name"], each["scroll"]) for each in seen if each["scroll"] > each["inner"]]
    assert not [(each["name"], each["pale"]) for each in seen if each["pale"]]
    assert not [each["name"] for each in seen if each["fetched"] or each["flat"] or each["alerted"]]
    assert min(each["texts"] for each in seen if not each["name"].startswith("empty")) > 30
