"""A column of texts, reduced to what its drift is measured by.

A profile holds how often each hashed word occurs and in how many texts, histograms of length and kinds of characters, and a
sample of texts as hashed words. It holds no readable text. Its size is bounded whatever the texts are: at most `words.BUCKETS`
words and `SAMPLE` texts of at most `SAMPLE_WORDS` different words. Profiles of parts merge to the profile of the whole exactly:
everything in them is a sum of whole numbers, and the sample keeps the texts with the smallest hashes, with their copies counted.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from typing import Any, ClassVar

import numpy as np

from keepfit.errors import DataError
from keepfit.stats.words import BUCKETS, FEATURES, GRID, READ, Vocabulary, features, text_key

SAMPLE = 4_096  # different texts kept, hashed
SAMPLE_WORDS = 1_024  # different words kept of each, which texts of READ characters hardly have
UNIT = 1 << 16  # a text's vector of word counts is stretched to this length and rounded, so that sums are exact

_TEXTS = 8_192  # texts looked at together
_CHARACTERS = 4_000_000  # and characters of them
_LARGEST = 64 * BUCKETS  # bytes of one stored array


@dataclass(frozen=True, kw_only=True, eq=False)
class TextProfile:
    """What is known of a column of texts. Two profiles are equal when all of their numbers are."""

    kind: ClassVar[str] = "text"
    documents: int  # texts, the empty ones too
    missing: int  # cells without a text
    shortened: int  # texts of which only the first READ characters were looked at
    words: np.ndarray  # (w,) int64, buckets that occur, ascending
    occurrences: np.ndarray  # (w,) int64, how often
    appearances: np.ndarray  # (w,) int64, in how many texts
    weights: np.ndarray  # (w,) int64, sum over texts of UNIT * count / length of the text's vector of counts
    histograms: np.ndarray  # (FEATURES, GRID) int64, texts in each bin
    texts: np.ndarray  # (s,) uint64, hashes of the sampled texts, ascending
    copies: np.ndarray  # (s,) int64, how many texts are this one
    bins: np.ndarray  # (s, FEATURES) int32, the bins of the sampled texts
    sizes: np.ndarray  # (s,) int64, how many different words are kept of each
    sample_words: np.ndarray  # (sum of sizes,) int32, buckets, ascending in each text
    sample_counts: np.ndarray  # (sum of sizes,) int32, how often in the text

    @property
    def filled(self) -> int:
        """How many cells hold a text."""
        return self.documents

    @property
    def tokens(self) -> int:
        """How many words there are in all."""
        return int(self.occurrences.sum())

    @property
    def complete(self) -> bool:
        """Whether the sample holds all texts."""
        return int(self.copies.sum()) == self.documents

    @property
    def cut(self) -> bool:
        """Whether a sampled text may hold more different words than are kept."""
        return bool((self.sizes >= SAMPLE_WORDS).any())

    def merge(self, other: TextProfile) -> TextProfile:
        """The profile of both columns' texts together."""
        words, (occurrences, appearances, weights) = _added(
            [self.words, other.words],
            *([getattr(self, name), getattr(other, name)] for name in ("occurrences", "appearances", "weights")),
        )
        return TextProfile(
            documents=self.documents + other.documents,
            missing=self.missing + other.missing,
            shortened=self.shortened + other.shortened,
            words=words,
            occurrences=occurrences,
            appearances=appearances,
            weights=weights,
            histograms=self.histograms + other.histograms,
            **_sampled(
                np.concatenate([self.texts, other.texts]),
                np.concatenate([self.copies, other.copies]),
                np.concatenate([self.bins, other.bins]),
                np.concatenate([self.sizes, other.sizes]),
                np.concatenate([self.sample_words, other.sample_words]),
                np.concatenate([self.sample_counts, other.sample_counts]),
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Numbers as they are, arrays packed: compressed, in base 64."""
        return {
            "kind": self.kind,
            "documents": self.documents,
            "missing": self.missing,
            "shortened": self.shortened,
            **{name: _packed(getattr(self, name)) for name in _ARRAYS},
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> TextProfile:
        """The profile that `to_dict` wrote. Raises `DataError` when the document is not one."""
        try:
            values: dict[str, Any] = {name: int(stored[name]) for name in ("documents", "missing", "shortened")}
            values |= {name: _unpacked(stored[name]) for name in _ARRAYS}
        except (AttributeError, KeyError, TypeError, ValueError, zlib.error) as error:
            raise DataError(f"This is no stored profile of texts: {type(error).__name__}: {error}.") from error
        small = {name: values[name].astype(np.int32) for name in ("bins", "sample_words", "sample_counts")}
        found = cls(**values | small | {"texts": values["texts"].astype(np.uint64)})
        _check(found)
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TextProfile):
            return NotImplemented
        return all(np.array_equal(getattr(self, item.name), getattr(other, item.name)) for item in fields(self))

    __hash__ = None  # type: ignore[assignment]


def text_profile(texts: Sequence[str | None]) -> TextProfile:
    """The profile of a column; None is a missing cell, an empty text is a text.

    >>> profile = text_profile(["Call me", "call me back", None, ""])
    >>> profile.documents, profile.missing, profile.tokens, len(profile.words)
    (3, 1, 5, 3)
    """
    vocabulary = Vocabulary()
    found = [text for text in texts if text is not None]
    return reduce(TextProfile.merge, (_piece(piece, vocabulary) for piece in _pieces(found)), _empty(len(texts) - len(found)))


def merge(one: TextProfile, other: TextProfile) -> TextProfile:
    """The profile of both columns' texts together."""
    return one.merge(other)


_ARRAYS = (
    "words",
    "occurrences",
    "appearances",
    "weights",
    "histograms",
    "texts",
    "copies",
    "bins",
    "sizes",
    "sample_words",
    "sample_counts",
)


def _pieces(texts: list[str]) -> Iterator[list[str]]:
    """Lists of texts that are small enough to be looked at together."""
    piece: list[str] = []
    characters = 0
    for text in texts:
        piece.append(text)
        characters += min(len(text), READ)
        if len(piece) == _TEXTS or characters > _CHARACTERS:
            yield piece
            piece, characters = [], 0
    if piece:
        yield piece


def _piece(texts: list[str], vocabulary: Vocabulary) -> TextProfile:
    found = [vocabulary.buckets(text) for text in texts]
    lengths = np.array([len(buckets) for buckets in found], dtype=np.int64)
    flat = np.fromiter((bucket for buckets in found for bucket in buckets), dtype=np.int64, count=int(lengths.sum()))
    pairs, counts = np.unique(np.repeat(np.arange(len(texts)), lengths) * BUCKETS + flat, return_counts=True)
    documents, buckets = np.divmod(pairs, BUCKETS)
    norms = np.sqrt(np.bincount(documents, weights=counts.astype(np.float64) ** 2, minlength=len(texts)))
    words, (occurrences, appearances, weights) = _added(
        [buckets], [counts], [np.ones_like(counts)], [np.rint(UNIT * counts / norms[documents]).astype(np.int64)]
    )
    bins = features(texts, lengths)
    sizes = np.bincount(documents, minlength=len(texts))
    kept = np.arange(len(pairs)) - np.repeat(np.cumsum(sizes) - sizes, sizes) < SAMPLE_WORDS
    return TextProfile(
        documents=len(texts),
        missing=0,
        shortened=sum(len(text) > READ for text in texts),
        words=words,
        occurrences=occurrences,
        appearances=appearances,
        weights=weights,
        histograms=np.stack([np.bincount(column, minlength=GRID) for column in bins.T]),
        **_sampled(
            np.array([text_key(text) for text in texts], dtype=np.uint64),
            np.ones(len(texts), dtype=np.int64),
            bins,
            np.minimum(sizes, SAMPLE_WORDS),
            buckets[kept],
            counts[kept],
        ),
    )


def _empty(missing: int) -> TextProfile:
    nothing = np.zeros(0, dtype=np.int64)
    arrays: dict[str, Any] = dict.fromkeys(_ARRAYS, nothing)
    arrays["texts"] = nothing.astype(np.uint64)
    arrays["bins"] = np.zeros((0, len(FEATURES)), dtype=np.int64)
    arrays["histograms"] = np.zeros((len(FEATURES), GRID), dtype=np.int64)
    return TextProfile(documents=0, missing=missing, shortened=0, **arrays)


def _added(keys: list[np.ndarray], *values: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Ascending keys and, for each list of values, their sums over equal keys."""
    together = np.concatenate(keys)
    order = np.argsort(together, kind="stable")
    found, starts = np.unique(together[order], return_index=True)
    if not len(found):
        return found, [np.zeros(0, dtype=np.int64) for _ in values]
    return found, [np.add.reduceat(np.concatenate(value)[order], starts) for value in values]


def _sampled(
    texts: np.ndarray, copies: np.ndarray, bins: np.ndarray, sizes: np.ndarray, words: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """The texts with the smallest hashes, equal ones as one."""
    kept, firsts, places = np.unique(texts, return_index=True, return_inverse=True)
    total = np.bincount(places, weights=copies, minlength=len(kept)).astype(np.int64)
    kept, firsts, total = kept[:SAMPLE], firsts[:SAMPLE], total[:SAMPLE]
    starts = np.cumsum(sizes) - sizes
    sizes, starts = sizes[firsts], starts[firsts]
    inside = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes) + np.arange(int(sizes.sum()))
    return {
        "texts": kept,
        "copies": total,
        "bins": bins[firsts].astype(np.int32),
        "sizes": sizes,
        "sample_words": words[inside].astype(np.int32),
        "sample_counts": counts[inside].astype(np.int32),
    }


def _packed(array: np.ndarray) -> str:
    """Shape and smallest type that holds the numbers, then the bytes."""
    kind = next(kind for kind in ("u1", "u2", "u4", "u8") if not array.size or int(array.max()) < 1 << 8 * int(kind[1]))
    shape = "x".join(str(length) for length in array.shape)
    return f"{kind}:{shape}:{base64.b64encode(zlib.compress(array.astype('<' + kind).tobytes(), 6)).decode()}"


def _unpacked(stored: str) -> np.ndarray:
    kind, shape, packed = stored.split(":")
    if kind not in ("u1", "u2", "u4", "u8"):
        raise ValueError(f"expected an array of u1, u2, u4 or u8, found {kind!r}")
    data = zlib.decompressobj().decompress(base64.b64decode(packed, validate=True), _LARGEST)
    array = np.frombuffer(data, dtype="<" + kind).reshape([int(length) for length in shape.split("x")])
    return array.astype(np.uint64 if kind == "u8" else np.int64)


def _check(profile: TextProfile) -> None:
    """Raises `DataError` when the arrays of a stored profile do not belong together."""
    texts, words, kept = len(profile.texts), len(profile.words), int(profile.sizes.sum())
    expected = {
        **dict.fromkeys(("occurrences", "appearances", "weights"), (words,)),
        "histograms": (len(FEATURES), GRID),
        **dict.fromkeys(("copies", "sizes"), (texts,)),
        "bins": (texts, len(FEATURES)),
        **dict.fromkeys(("sample_words", "sample_counts"), (kept,)),
    }
    for name, shape in expected.items():
        if getattr(profile, name).shape != shape:
            raise DataError(
                f"This stored profile of texts is broken: expected {name} of {shape}, found {getattr(profile, name).shape}."
            )
    ascending = all(bool((keys[1:] > keys[:-1]).all()) for keys in (profile.words, profile.texts))
    if not ascending or not np.isin(profile.sample_words, profile.words).all() or (profile.bins >= GRID).any():
        raise DataError("This stored profile of texts is broken: its words, texts or bins are none that a profile can hold.")
