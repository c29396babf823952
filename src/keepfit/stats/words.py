"""Texts as words and as kinds of characters, hashed: what the text profile counts.

**Words.** A text is brought to Unicode's form NFKC and lower case. A word is a run of letters, digits and marks, with
apostrophes inside; every digit counts as 0, so that telephone numbers and prices are not new words each time. Scripts without
spaces (Chinese, Japanese, Thai, Khmer, Lao, Burmese) give pairs of neighbouring characters. A word is kept as the first 20
bits of its BLAKE2b hash: equal on every machine, and not to be read back.

**Characters.** Shares of a text's characters, of its words and its length; see `FEATURES`.

Only the first `READ` characters of a text are looked at, so that a text of megabytes costs what a long page does.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

READ = 8_192  # characters looked at of one text
BUCKETS = 1 << 20  # words are told apart up to this many
GRID = 64  # bins of a feature
FEATURES = (
    *("length", "words", "word_length"),
    *("letters", "upper_case", "digits", "spaces", "punctuation", "symbols", "non_ascii"),
    *("full_stops", "commas", "exclamations", "quotes"),
    *("capital_start", "sentence_end"),
)

_KNOWN = 200_000  # words whose hash is remembered at a time
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_MARKS = "\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0963\u0966-\u0dff"
_ASCII_WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*")
_WORD = re.compile(rf"[{_UNSPACED}]+|(?:(?![{_UNSPACED}])(?:[^\W_]|[{_MARKS}]))+(?:['’](?:(?![{_UNSPACED}])[^\W_])+)*")
_STARTS_UNSPACED = re.compile(rf"[{_UNSPACED}]")
DIGITS = str.maketrans("123456789", "000000000")


def words(text: str) -> list[str]:
    """The words of a text, lower-cased, in their order; digits as they are.

    >>> words("Don't call 0800-555!"), words("東京都")
    (["don't", 'call', '0800', '555'], ['東京', '京都'])
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    found: list[str] = []
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).lower()):
        found.extend(_pairs(word) if _STARTS_UNSPACED.match(word) else (word,))
    return found


def _pairs(run: str) -> list[str]:
    return [run[start : start + 2] for start in range(max(1, len(run) - 1))]


def text_key(text: str) -> int:
    """64 bits that tell this text from others."""
    seen = text[:READ].encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(seen, digest_size=8, salt=len(text).to_bytes(8, "little")).digest(), "little")


@dataclass
class Vocabulary:
    """The buckets of words, each hashed once while it is remembered."""

    known: dict[str, int] = field(default_factory=dict)

    def buckets(self, text: str) -> list[int]:
        """The bucket of each word of a text."""
        if len(self.known) > _KNOWN:
            self.known.clear()  # bounded memory whatever the vocabulary
        known = self.known
        found = words(text[:READ].translate(DIGITS))
        try:
            return [known[word] for word in found]
        except KeyError:
            for word in found:
                if word not in known:
                    known[word] = bucket(word)
            return [known[word] for word in found]


def bucket(word: str) -> int:
    """The bucket of a word whose digits are 0."""
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "little") % BUCKETS


def features(texts: Sequence[str], word_counts: np.ndarray) -> np.ndarray:
    """The bin of each text in each of `FEATURES`: (texts, features) of 0 to GRID - 1.

    Bin 0 is nought or undefined (the share of capitals without letters). Length, words and the mean length of a word have four bins
    for each doubling. Shares have bins of equal width up to 1, and are of all characters; capitals are a share of the letters.
    Question marks count as exclamations, apostrophes as quotes. Whether a text begins with a capital letter and ends with a
    full stop, question or exclamation mark is bin 0 or the last.
    """
    parts = [text[:READ] for text in texts]
    sizes = np.array([len(part) for part in parts], dtype=np.int64)
    codes = np.frombuffer("".join(parts).encode("utf-32-le", "surrogatepass"), dtype="<u4")
    ends = np.cumsum(sizes)

    def total(of: np.ndarray) -> np.ndarray:
        sums = np.concatenate([[0], np.cumsum(of)])
        return np.asarray(sums[ends] - sums[ends - sizes], dtype=np.float64)

    kinds, signs = _kinds(codes), np.where(codes < 128, codes, 0)
    letters, capitals, digits, spaces, punctuation, symbols = (total(kinds & bit > 0) for bit in (1, 2, 4, 8, 16, 32))
    stops, commas, exclamations, quotes = (total(_among(signs, marks)) for marks in (".", ",", "!?", "\"'"))
    stripped = [part.strip() for part in parts]
    read = np.maximum(sizes, 1)
    columns = (
        _log_bins(np.array([len(text) for text in texts], dtype=np.float64)),
        _log_bins(word_counts.astype(np.float64)),
        _log_bins(2 * (letters + digits) / np.maximum(word_counts, 1)),  # half characters: words are short
        _share_bins(letters / read),
        _share_bins(capitals / np.maximum(letters, 1)),
        *(_share_bins(of / read) for of in (digits, spaces, punctuation, symbols, total(codes > 127))),
        *(_share_bins(of / read) for of in (stops, commas, exclamations, quotes)),
        _share_bins(np.array([text[:1].isupper() for text in stripped], dtype=np.float64)),
        _share_bins(np.array([text.endswith((".", "!", "?", "。", "！", "？")) for text in stripped], dtype=np.float64)),
    )
    return np.column_stack(columns).astype(np.int64)


def _among(signs: np.ndarray, marks: str) -> np.ndarray:
    return np.isin(signs, [ord(mark) for mark in marks])


def _log_bins(values: np.ndarray) -> np.ndarray:
    """0 for less than 1, then four bins a doubling, the last without end."""
    found = 1 + np.floor(4 * np.log2(np.maximum(values, 1)) + 1e-9)
    return np.minimum(np.where(values < 1, 0, found), GRID - 1)


def _share_bins(shares: np.ndarray) -> np.ndarray:
    """0 for nought, then GRID - 1 equal bins up to 1."""
    return np.minimum(np.ceil(shares * (GRID - 1) - 1e-9), GRID - 1)


def _kinds(codes: np.ndarray) -> np.ndarray:
    """What each character is, in bits: 1 letter, 2 upper case, 4 digit, 8 space, 16 punctuation, 32 anything else."""
    kinds = np.zeros(len(codes), dtype=np.uint8)
    plain = codes < 128
    kinds[plain] = _ascii()[codes[plain]]
    others, places = np.unique(codes[~plain], return_inverse=True)
    if len(others):
        kinds[~plain] = np.array([_kind(chr(code)) for code in others.tolist()], dtype=np.uint8)[places]
    return kinds


def _ascii() -> np.ndarray:
    return np.array([_kind(chr(code)) for code in range(128)], dtype=np.uint8)


def _kind(character: str) -> int:
    category = unicodedata.category(character)
    if category[0] in "LM":
        return 3 if category == "Lu" else 1
    if category[0] == "Z" or character in "\t\n\r\v\f":
        return 8
    return {"N": 4, "P": 16}.get(category[0], 32)
