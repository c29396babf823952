"""Texts: words, their neighbours and the characters of words, counted and weighted as scikit-learn's vectorizers do.

A text is taken apart by the same rules, in plain Python; the parts of each word are remembered in a cache of bounded size.
Numbers of columns are kept as bytes, so that those of a whole batch are put one behind the other at once, and counted and
weighted together.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Any

import numpy as np

from keepfit.errors import DataError
from keepfit.serving.compiled.blocks import NotCompiled, Row, Terms, kind, refuse

REMEMBERED = 20_000  # words; each costs a thousand bytes at most
SAMPLE = 200  # terms
LONGEST = 40  # characters of a word that is remembered
_CORE = re.compile(r"\w(?:.*\w)?", re.DOTALL)  # of a word, without what stands around it: in linear time, whatever comes

Parts = tuple[bytes, list[tuple[str, int]]]  # columns of a text's terms as int32; what is shown for how many of them


@dataclass(frozen=True, eq=False, kw_only=True)
class Text:
    """`Block` of one vectorizer's columns."""

    field: str
    needs_text: bool  # whether an empty cell is an error rather than an empty text
    cleaned: Callable[[str], str]  # lower case, without accents
    parts: Callable[[str], Parts]
    width: int
    sample: tuple[str, ...] = ()  # some of the terms, to try it with
    binary: bool = False
    sublinear: bool = False
    idf: np.ndarray | None = None  # (width,)
    norm: str | None = None  # l1, l2
    factor: float = 1.0  # of the whole block, in a union

    def taken_apart(self, row: Row) -> Parts:
        """The terms of a row's text. Raises `DataError`."""
        value = row[self.field]
        if value is None or value != value or not value.strip():  # as the contract reads a blank text
            if self.needs_text:
                raise DataError(f"{self.field} is empty, and this model takes no empty {self.field}.")
            value = ""
        return self.parts(self.cleaned(value if isinstance(value, str) else str(value)))

    def dense(self, rows: Sequence[Row]) -> np.ndarray:  # noqa: ARG002
        raise NotCompiled(f"{self.width} columns of text before an end that is not linear")

    def weighted(self, coefficients: np.ndarray) -> WeightedText:
        return WeightedText(self, coefficients)

    def weights(self, counts: np.ndarray, columns: np.ndarray, of_row: np.ndarray, rows: int) -> np.ndarray:
        """The cells of the columns: what each term weighs in its text."""
        found = np.ones(len(counts)) if self.binary else counts.astype(float)
        if self.sublinear:
            found = np.log(found) + 1.0
        if self.idf is not None:
            found *= self.idf[columns]
        if self.norm is not None:
            sizes = np.bincount(of_row, np.abs(found) if self.norm == "l1" else found * found, rows)
            sizes[sizes == 0] = 1.0
            found /= (sizes if self.norm == "l1" else np.sqrt(sizes))[of_row]
        return found if self.factor == 1.0 else found * self.factor


class WeightedText:
    """`Weighted` terms of a text."""

    def __init__(self, text: Text, coefficients: np.ndarray) -> None:
        self._text = text
        self._coefficients = np.ascontiguousarray(coefficients.T, dtype=float)  # (width, heads)

    def scores(self, rows: Sequence[Row], *, traced: bool) -> tuple[list[list[float]], Sequence[Any]]:
        text, count = self._text, len(rows)
        parts = [text.taken_apart(row) for row in rows]
        columns = np.frombuffer(b"".join([found for found, _ in parts]), dtype=np.int32)
        lengths = [len(found) >> 2 for found, _ in parts]
        places = np.repeat(np.arange(count) * text.width, lengths) + columns
        if traced:
            order = np.argsort(places, kind="stable")
            places = places[order]
        else:
            places.sort()
        new = np.empty(len(places), dtype=bool)
        new[:1] = True
        np.not_equal(places[1:], places[:-1], out=new[1:])
        starts = np.flatnonzero(new)
        of_row, terms = np.divmod(places[starts], text.width)
        counts = np.diff(starts, append=len(places))
        weights = text.weights(counts, terms, of_row, count)
        added = self._coefficients[terms] * weights[:, None]  # (terms, heads)
        heads = [np.bincount(of_row, added[:, head], count) for head in range(added.shape[1])]
        scores = heads[0][:, None].tolist() if len(heads) == 1 else np.column_stack(heads).tolist()
        if not traced:
            return scores, ()
        shares = np.empty((len(places), added.shape[1]))  # what each single occurrence added
        shares[order] = np.repeat(added / counts[:, None], counts, axis=0)
        ends = np.cumsum(lengths).tolist()
        return scores, [(found[1], shares[end - length : end]) for found, length, end in zip(parts, lengths, ends, strict=True)]

    def terms(self, trace: Any, direction: Sequence[float]) -> Terms:
        shown, shares = trace
        if not len(shares):
            return []
        added = shares[:, 0] * direction[0] if len(direction) == 1 else shares @ np.asarray(direction)
        found: dict[str, float] = {}
        sums = np.add.reduceat(added, _starts(shown)).tolist()
        for (term, _), value in zip(shown, sums, strict=True):
            found[term] = found.get(term, 0.0) + value
        return list(found.items())


def _starts(shown: Sequence[tuple[str, int]]) -> list[int]:
    starts, start = [], 0
    for _, length in shown:
        starts.append(start)
        start += length
    return starts


# ----------------------------------------------------------------------------------------------------------- vectorizers


def vectorized(step: Any, field: str, *, needs_text: bool) -> Text:
    """The columns of a fitted `TfidfVectorizer` or `CountVectorizer`. Raises `NotCompiled`."""
    own = [step.preprocessor, step.tokenizer, step.analyzer if callable(step.analyzer) else None]
    if kind(step) not in ("TfidfVectorizer", "CountVectorizer") or step.input != "content" or any(own):
        raise refuse(step, "with functions of its own is not compiled")
    if np.dtype(step.dtype) == np.float32:
        raise refuse(step, "in single precision is not compiled")
    vocabulary = {str(term): int(column) for term, column in step.vocabulary_.items()}
    text = Text(
        field=field,
        needs_text=needs_text,
        cleaned=_cleaned(step),
        parts=_words(step, vocabulary) if step.analyzer == "word" else _characters(step, vocabulary),
        width=len(vocabulary),
        sample=tuple(sorted(islice(vocabulary, 0, None, 1 + len(vocabulary) // SAMPLE))),
        binary=bool(step.binary),
    )
    return text if kind(step) == "CountVectorizer" else reweighted(step, text)


def _cleaned(step: Any) -> Callable[[str], str]:
    """Lower case and without accents, in linear time: to put a text into normal form, as scikit-learn does, is to sort the accents
    of each letter, of which there may be thousands."""
    if step.strip_accents not in ("ascii", "unicode"):
        clean: Callable[[str], str] = step.build_preprocessor()
        return clean
    plain = _Plain(only_ascii=step.strip_accents == "ascii")

    def cleaned(text: str) -> str:
        text = text.lower() if step.lowercase else text
        return text if text.isascii() else text.translate(plain)

    return cleaned


class _Plain(dict[int, str]):
    """Character -> what is left of it without its accents; of each character when it is first met. Memory is bounded by Unicode."""

    def __init__(self, *, only_ascii: bool) -> None:
        self._only_ascii = only_ascii

    def __missing__(self, code: int) -> str:
        parts = unicodedata.normalize("NFKD", chr(code))
        left = "".join(part for part in parts if (part.isascii() if self._only_ascii else not unicodedata.combining(part)))
        self[code] = left
        return left


def reweighted(step: Any, text: Text) -> Text:
    """The columns after a `TfidfTransformer`'s weights, which a `TfidfVectorizer` has inside."""
    if text.norm is not None or text.idf is not None or text.sublinear:
        raise refuse(step, "after other weights is not compiled")
    idf = np.asarray(step.idf_, dtype=float) if step.use_idf else None
    return replace(text, idf=idf, norm=step.norm, sublinear=bool(step.sublinear_tf))


def present(text: Text) -> Text:
    """Only whether a term is there, as a naive Bayes of yes and no sees it."""
    if text.idf is not None and not (text.idf > 0).all():
        raise NotCompiled("terms of no weight before a naive Bayes of yes and no")
    return replace(text, binary=True, sublinear=False, idf=None, norm=None, factor=1.0)


def _words(step: Any, vocabulary: dict[str, int]) -> Callable[[str], Parts]:
    """Words and what stands beside each other, as `analyzer="word"` sees them."""
    pattern = re.compile(step.token_pattern)
    if pattern.groups > 1:
        raise refuse(step, "with several groups in its pattern is not compiled")
    find, stopped = pattern.findall, step.get_stop_words()
    least, most = step.ngram_range
    column = vocabulary.get

    def parts(text: str) -> Parts:
        words = find(text)
        if stopped is not None:
            words = [word for word in words if word not in stopped]
        terms = list(words) if least == 1 else []
        for length in range(max(least, 2), min(most, len(words)) + 1):
            if length == 2:
                terms += [f"{word} {after}" for word, after in pairwise(words)]
            else:
                terms += [" ".join(words[start : start + length]) for start in range(len(words) - length + 1)]
        shown = [(term, number) for term in terms if (number := column(term)) is not None]
        columns = np.array([number for _, number in shown], dtype=np.int32)
        return columns.tobytes(), [(term.lower(), 1) for term, _ in shown]

    return parts


def _characters(step: Any, vocabulary: dict[str, int]) -> Callable[[str], Parts]:
    """Runs of characters inside words, as `analyzer="char_wb"` sees them; shown as the words in which they stand."""
    if step.analyzer != "char_wb":
        raise refuse(step, f"by {step.analyzer!r} is not compiled")
    least, most = step.ngram_range
    column = vocabulary.get
    remembered: dict[str, tuple[bytes, tuple[str, int]]] = {}

    def of_word(word: str) -> tuple[bytes, tuple[str, int]]:
        padded = f" {word} "
        longest = min(most, max(least, len(padded)))  # a word that is shorter than the shortest run counts once, whole
        runs = [
            padded[start : start + length]
            for length in range(least, longest + 1)
            for start in range(max(1, len(padded) - length + 1))
        ]
        columns = [number for run in runs if (number := column(run)) is not None]
        core = _CORE.search(word)
        found = np.array(columns, dtype=np.int32).tobytes(), ((core[0] if core else word).lower(), len(columns))
        if len(word) <= LONGEST:
            if len(remembered) >= REMEMBERED:
                remembered.clear()
            remembered[word] = found
        return found

    def parts(text: str) -> Parts:
        found = [remembered.get(word) or of_word(word) for word in text.split()]
        return b"".join([columns for columns, _ in found]), [shown for columns, shown in found if columns]

    return parts
