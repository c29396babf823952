"""HTML as values. Plain text is escaped when it is put into an element, so that nobody can forget it.

Names and categories come from data files and may hold anything. Controls that would hide or turn round what follows are
shown by their code point, and what is long is shortened in the middle.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable
from itertools import islice

LONGEST_NAME = 60
LONGEST_SENTENCE = 600
_VOID = {"meta", "br", "rect", "path", "line", "col"}
_JOINERS = "‌‍"  # they hold scripts and emoji together and hide nothing


class Html(str):
    """Finished markup; any other text is escaped."""

    __slots__ = ()


Piece = str | None  # what goes into an element: markup, text to escape, or nothing


def element(tag: str, *pieces: Piece, **attributes: str | float | bool | None) -> Html:
    """One element. `class_` is written class, `aria_hidden` aria-hidden; None and False leave an attribute out.

    >>> print(element("p", "1 < 2", element("br"), class_="note"))
    <p class="note">1 &lt; 2<br/></p>
    """
    written = "".join(_attribute(name, value) for name, value in attributes.items() if value is not None and value is not False)
    inside = joined(*pieces)
    if tag in _VOID and not inside:
        return Html(f"<{tag}{written}/>")
    return Html(f"<{tag}{written}>{inside}</{tag}>")


def joined(*pieces: Piece) -> Html:
    """The pieces one after another.

    >>> print(joined("a & b", None, element("b", "c")))
    a &amp; b<b>c</b>
    """
    return Html("".join(piece if isinstance(piece, Html) else escaped(piece) for piece in pieces if piece))


def escaped(text: str) -> Html:
    """Text as markup that shows it, shortened to 600 characters.

    >>> print(escaped("<script>"), escaped("a\\u202eb"))
    &lt;script&gt; a[U+202E]b
    """
    return Html(html.escape(shortened(text, LONGEST_SENTENCE)))


def name(text: str, longest: int = LONGEST_NAME) -> Html:
    """Something that somebody else has named, set apart from the direction of the text around it."""
    return element("bdi", shortened(text, longest) or "(no name)")


def shortened(text: str, longest: int) -> str:
    """At most `longest` characters, the middle left out, and nothing invisible among them.

    >>> shortened("abcdefghijklmnopqrstuvwxyz", 12)
    'abcdefgh…xyz'
    """
    if len(text) > longest:
        kept = longest // 4
        text = f"{text[: longest - kept - 1]}…{text[-kept:]}"
    shown = "".join(_visible(character) for character in text)
    return shown if len(shown) <= 2 * longest else shown[: 2 * longest - 1] + "…"


def within(pieces: Iterable[Html], most: int, size: int) -> list[Html]:
    """The first of the pieces, at most `most` of them and `size` bytes in all; no more of them is made than is shown."""
    shown: list[Html] = []
    for piece in islice(pieces, most):
        size -= len(piece.encode())
        if size < 0:
            break
        shown.append(piece)
    return shown


def _attribute(name: str, value: str | float | bool) -> str:
    key = name.rstrip("_").replace("_", "-")
    return f' {key}="{key if value is True else html.escape(shortened(str(value), 20_000))}"'


def _visible(character: str) -> str:
    if character == "\n" or character.isprintable() or character in _JOINERS:
        return character
    if unicodedata.category(character) == "Zs":
        return " "
    return f"[U+{ord(character):04X}]"
