"""The rows on which a compiled model and the model itself must say the same before the short way is taken."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from keepfit.serving.compiled.blocks import Row
from keepfit.serving.compiled.linear import Said

TOLERANCE = 1e-9  # of probabilities, and of numbers relative to their size
ORDINARY = 12  # rows with every field filled in by chance
NUMBERS = (0.0, -1.0, 1.0, 0.5, 1e-9, -1234.5, 1e6, 1e12)
TEXTS = (
    "",
    " ",
    "a",
    "!!!",
    "Hello, are we still meeting at noon?",
    "FREE entry!! WIN a prize now, call 09061701461 or txt WIN to 80086 - £1000 cash, T&Cs apply",
    "Don't  miss\tthis:\r\nwww.example.com/win?x=1&y=2 (it's   free!) ...",
    "the the the THE The free free Free call call call",
    "Grüße aus Zürich, çà et là: naïve café İstanbul ΣΑΣ ΌΔΟΣ ﬁn ½ Ⅷ",
    "你好,世界 привет мир नमस्ते مرحبا こんにちは",
    "🎉🎉 win 🎁 now 👩‍👩‍👧‍👦 ok 👍🏽",
    "zero\u200bwidth\u00a0blank\u3000wide \x1c\x85 control \x00 null e\u0301 \ufeff",
    "x" * 400,
    "win cash now " * 400,
)
CATEGORIES = ("", " ", "no such category", "Ünïcode 🎉", "0", "None", "nan")

Say = Callable[[Sequence[Row]], Sequence[Said]]


def difference(short: Say, long: Say, rows: Sequence[Row]) -> str:
    """The first thing that the two say differently of these rows; empty when they agree. What one refuses the other must too."""
    for row, one, other in zip(rows, _each(short, rows), _each(long, rows), strict=True):
        if not _same(one, other):
            return f"{_shown(other)} became {_shown(one)} for {str(row)[:200]}"
    return ""


def edge_rows(types: Mapping[str, str], known: Mapping[str, Sequence[str]], examples: Iterable[Row], seed: int = 0) -> list[Row]:
    """Rows at the edges of what may come, made around the examples and by chance.

    `types` are the features' by the contract; `known` the categories, or some of the terms, that the model knows of a field. Equal
    arguments, equal rows.
    """
    draw = random.Random(seed)  # noqa: S311 - no secret
    choices = {name: _choices(kind, known.get(name, ()), draw) for name, kind in types.items()}
    rows = [{name: row.get(name) for name in types} for row in examples]
    rows += [{name: draw.choice(values) for name, values in choices.items()} for _ in range(ORDINARY)]
    rows.append(dict.fromkeys(types))
    usual = dict(rows[0])
    for name, values in choices.items():
        few = values if len(types) <= 4 else draw.sample(values, min(4, len(values)))
        rows += [{**usual, name: value} for value in (None, *few)]
    return rows


def _choices(kind: str, known: Sequence[str], draw: random.Random) -> list[Any]:
    if kind == "boolean":
        return [True, False]
    if kind in ("number", "integer"):
        drawn = [draw.gauss(0, 10**size) for size in (0, 0, 1, 2, 3)]
        return [round(value) for value in (*NUMBERS, *drawn)] if kind == "integer" else [*NUMBERS, *drawn]
    if kind == "text":
        terms = list(known)
        made = [" ".join(draw.choices(terms, k=size)) for size in (1, 3, 8, 20, 60)] if terms else []
        return [*TEXTS, *made, *(term.upper() for term in terms[:3])]
    return [*known, *CATEGORIES]


def _each(say: Say, rows: Sequence[Row]) -> list[Said | None]:
    """What is said of each row; None for those that are refused."""
    try:
        return list(say(rows))
    except Exception:
        found: list[Said | None] = []
        for row in rows:
            try:
                found += say([row])
            except Exception:  # whatever scikit-learn raises
                found.append(None)
        return found


def _same(one: Said | None, other: Said | None) -> bool:
    if one is None or other is None:
        return one is other
    if one[0] != other[0] or (one[1] is None) != (other[1] is None) or (one[2] is None) != (other[2] is None):
        return False
    pairs = list(zip(one[1] or (), other[1] or (), strict=True))
    if one[2] is not None and other[2] is not None:
        pairs.append((one[2], other[2]))
    return all(a == b or abs(a - b) <= TOLERANCE * max(1.0, abs(b)) or (math.isnan(a) and math.isnan(b)) for a, b in pairs)


def _shown(said: Said | None) -> str:
    if said is None:
        return "an error"
    return f"class {said[0]} of {said[1]}" if said[2] is None else repr(said[2])
