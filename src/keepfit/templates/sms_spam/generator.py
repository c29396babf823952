"""Made-up text messages, 280 to 360 a day, the same for the same day, seed and options.

Every message is put together from what people, and those who prey on them, say in ever new ways: see `phrases.py`. On a date of
your choice a new kind of scam begins, which speaks as polite messages do and shares hardly a word with those before it.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable

import numpy as np
import pandas as pd
from phrases import HAM, HURRIED, SCAMS, SLOTS, SPAM

COLUMNS = ["label", "message"]
SPAM_SHARE = 0.14
SLIPS = 0.01  # share of the messages that were given the other label by mistake

Date = datetime.date | str


def simulate(
    day: datetime.date,
    seed: int,
    *,
    new_scam: Date | None = None,
    scam: str = "parcel_fee",
    scam_share: float = 0.14,
    broken: Date | Iterable[Date] = (),
    broken_how: str = "cut_texts",
) -> pd.DataFrame:
    """One day's messages, label and message.

    - `new_scam`: from this day on `scam_share` of all messages are of a scam that nobody had seen before: `scam` is "parcel_fee",
      "crypto" or "family"
    - `broken`: on this day or these days something upstream is broken, as `broken_how` says: "cut_texts" (nothing but the first
      character arrives) or "other_labels" (spam is called junk)
    """
    if scam not in SCAMS:
        raise ValueError(f"scam was expected to be one of {', '.join(SCAMS)}, found {scam!r}")
    random = np.random.default_rng([seed, day.toordinal()])
    rows = int(random.integers(280, 361))
    share = scam_share if new_scam is not None and day >= _date(new_scam) else 0.0
    kinds = random.choice(["ham", "spam", "scam"], rows, p=[(1 - share) * (1 - SPAM_SHARE), (1 - share) * SPAM_SHARE, share])
    messages = [_message(random, str(kind), scam) for kind in kinds]
    spam = (kinds != "ham") ^ (random.random(rows) < SLIPS)
    frame = pd.DataFrame({"label": np.where(spam, "spam", "ham"), "message": messages}, columns=COLUMNS)
    if day in _dates(broken):
        _break(frame, broken_how)
    return frame


def _message(random: np.random.Generator, kind: str, scam: str) -> str:
    """One to three sentences; in every day's messages, half in a hurry."""
    if kind == "spam":
        theme = _pick(random, tuple(SPAM))
        return " ".join(_filled(random, _pick(random, sentences)) for sentences in SPAM[theme])
    if kind == "scam":
        return " ".join(_filled(random, _pick(random, sentences)) for sentences in SCAMS[scam])
    count = int(random.integers(1, 4))
    text = " ".join(_filled(random, _pick(random, HAM)) for _ in range(count))
    return _hurried(random, text) if random.random() < 0.5 else text


def _filled(random: np.random.Generator, sentence: str) -> str:
    """The sentence with a choice, or a number, in each of its slots; what is chosen may have slots of its own."""
    filled = re.sub(r"\{(\w+)\}", lambda slot: _filled(random, _slot(random, slot[1])), sentence)
    return filled[:1].upper() + filled[1:] if " " in sentence else filled


def _slot(random: np.random.Generator, name: str) -> str:
    if name in SLOTS:
        return _pick(random, SLOTS[name])
    digits = re.fullmatch(r"d(\d+)", name)
    if digits is None:
        raise KeyError(f"phrases.py has no slot {name!r}")
    return str(random.integers(1, 10)) + "".join(str(digit) for digit in random.integers(0, 10, int(digits[1]) - 1))


def _hurried(random: np.random.Generator, text: str) -> str:
    """As people write who have no time: short forms, small letters, a letter left out."""
    text = " ".join(HURRIED.get(word.lower(), word) for word in text.split(" "))
    if random.random() < 0.6:
        text = text.lower()
    if random.random() < 0.3 and len(text) > 12:
        place = int(random.integers(1, len(text) - 1))
        text = text[:place] + text[place + 1 :]
    return text.rstrip(".") if random.random() < 0.5 else text


def _pick(random: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(random.integers(len(choices)))]


def _break(frame: pd.DataFrame, how: str) -> None:
    if how == "cut_texts":
        frame["message"] = frame["message"].str[:1]
    elif how == "other_labels":
        frame["label"] = frame["label"].replace("spam", "junk")
    else:
        raise ValueError(f"broken_how was expected to be 'cut_texts' or 'other_labels', found {how!r}")


def _dates(given: Date | Iterable[Date]) -> set[datetime.date]:
    several = [given] if isinstance(given, datetime.date | str) else given
    return {_date(value) for value in several}


def _date(value: Date) -> datetime.date:
    return datetime.date.fromisoformat(value) if isinstance(value, str) else value
