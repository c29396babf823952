"""Made-up reviews, 350 to 500 a day, the same for the same day, seed and options.

What people write about and how they praise and blame is known here, so that it can be changed on a date: see the options of
`simulate`.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

COLUMNS = ["id", "text", "sentiment"]
SENTIMENTS = ("negative", "neutral", "positive")
SHARES = (0.35, 0.25, 0.40)
OFF_TOPIC = 0.2  # share of a review's judgements that are not of its own sentiment: nobody finds everything good
SLIPS = 0.06  # share of the reviews that were given another sentiment by mistake
MISSPELT = {"negative": "negativ", "neutral": "nuetral", "positive": "postive"}

Date = datetime.date | str


@dataclass(frozen=True, kw_only=True)
class Domain:
    """What reviews are about, and how people talk about it."""

    openings: tuple[str, ...]
    things: tuple[str, ...]
    judgements: dict[str, tuple[str, ...]]  # sentiment -> what is said of a thing
    closings: dict[str, tuple[str, ...]]


EVERYWHERE = {  # said of anything, and so understood in a domain that a model has never met
    "negative": ("was a disappointment", "was really bad", "was a waste of money"),
    "neutral": ("was okay", "was neither good nor bad", "was what we had ordered"),
    "positive": ("was excellent", "was really good", "deserves five stars"),
}
HOTELS = Domain(
    openings=(
        "We stayed three nights in March.",
        "Booked this for a conference.",
        "A weekend with the children.",
        "One night on the way south.",
        "Our second visit.",
        "Came here for a wedding.",
        "We arrived late in the evening.",
        "A week in a double room.",
    ),
    things=(
        "the room",
        "the bed",
        "breakfast",
        "the bathroom",
        "the reception",
        "the pool",
        "the restaurant",
        "our balcony",
        "the shower",
        "the lobby",
        "the neighbourhood",
        "the sauna",
    ),
    judgements={
        "negative": (
            "smelled of damp",
            "had not been cleaned",
            "was cold and dark",
            "kept us awake all night",
            "was nothing like the pictures",
            "needs to be renovated",
            "was far too small",
            "made us wait for an hour",
            "was loud until three in the morning",
            "was full of ants",
        ),
        "neutral": (
            "was as described",
            "was what one expects of three stars",
            "is on the ground floor",
            "was open until ten",
            "was plain",
            "was of the usual size",
            "is five minutes from the station",
            "has been there for years",
        ),
        "positive": (
            "was spotless",
            "was wonderfully quiet",
            "made us feel at home",
            "was warm and bright",
            "was a delight",
            "had a view of the sea",
            "was better than in the pictures",
            "could not have been friendlier",
            "was so comfortable that we slept until ten",
            "was generous and fresh",
        ),
    },
    closings={
        "negative": ("Never again.", "We left a day early.", "Stay somewhere else.", "The manager did not even apologise."),
        "neutral": (
            "Fine for one night.",
            "It served its purpose.",
            "Nothing more to say.",
            "No complaints and no surprises.",
        ),
        "positive": ("We will be back.", "We did not want to leave.", "Book it while you can.", "Thank you for a lovely stay."),
    },
)
GADGETS = Domain(
    openings=(
        "Bought it for my daughter.",
        "Replaced my old one after six years.",
        "Ordered on Monday, here on Wednesday.",
        "I use it every day at work.",
        "Unboxed it yesterday.",
        "Got this on sale.",
        "Two months with it now.",
        "My third from this brand.",
    ),
    things=(
        "the battery",
        "the screen",
        "the charger",
        "the speaker",
        "the app",
        "the keyboard",
        "the camera",
        "the fan",
        "the hinge",
        "the firmware",
        "the headset",
        "the touchpad",
    ),
    judgements={
        "negative": (
            "died after two weeks",
            "gets warm in minutes",
            "drops the connection",
            "was quiet even at full volume",
            "is laggy",
            "scratches if you look at it",
            "creaks and wobbles",
            "is too bright at night",
            "froze during the update",
            "had to be sent back",
        ),
        "neutral": (
            "does its job",
            "matches the data sheet",
            "is the same as on last year's model",
            "comes in grey only",
            "takes two hours to charge",
            "is made of plastic",
            "needs an account",
            "is middle of the road",
        ),
        "positive": (
            "lasts for days",
            "stays cold under load",
            "just works",
            "is wonderfully small",
            "shows a deep, dark black",
            "paired in seconds",
            "is razor sharp",
            "is loud and clear",
            "is snappy",
            "survived a fall down the stairs",
        ),
    },
    closings={
        "negative": ("Waiting for my refund.", "Save your money.", "It is in a drawer now.", "Support never answered."),
        "neutral": (
            "You get what you pay for.",
            "It is a tool like any other.",
            "Will see how it ages.",
            "Nothing to add.",
        ),
        "positive": ("Worth every cent.", "Ordered a second one.", "Cannot imagine work without it.", "Buy it."),
    },
)


def simulate(
    day: datetime.date,
    seed: int,
    *,
    new_domain: Date | None = None,
    broken: Date | Iterable[Date] = (),
    broken_how: str = "cut_texts",
) -> pd.DataFrame:
    """One day's reviews.

    - `new_domain`: until this day people review hotels, from it on gadgets, of which they speak in other words and sometimes with
      the same ones to the opposite effect: a warm room is praised, a warm charger is not
    - `broken`: on this day or these days something upstream is broken, as `broken_how` says: "cut_texts" (nothing but the first
      three characters arrives) or "misspelt_sentiments"
    """
    random = np.random.default_rng([seed, day.toordinal()])
    rows = int(random.integers(350, 501))
    domain = GADGETS if new_domain is not None and day >= _date(new_domain) else HOTELS
    meant = random.choice(SENTIMENTS, rows, p=SHARES)
    texts = [_review(random, domain, str(sentiment)) for sentiment in meant]
    given = np.where(random.random(rows) < SLIPS, random.choice(SENTIMENTS, rows), meant)
    first = int(f"{day:%Y%m%d}0001")
    frame = pd.DataFrame({"id": np.arange(first, first + rows), "text": texts, "sentiment": given}, columns=COLUMNS)
    if day in _dates(broken):
        _break(frame, broken_how)
    return frame


def _review(random: np.random.Generator, domain: Domain, sentiment: str) -> str:
    """Up to an opening, one to three judgements and up to a closing, of which most are of the sentiment."""
    sentences = [_pick(random, domain.openings)] if random.random() < 0.6 else []
    things = random.choice(domain.things, int(random.integers(1, 4)), replace=False)
    sentences += [f"{thing} {_judgement(random, domain, _tone(random, sentiment))}." for thing in things]
    if random.random() < 0.35:
        sentences.append(_pick(random, domain.closings[sentiment]))
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def _tone(random: np.random.Generator, sentiment: str) -> str:
    return _pick(random, SENTIMENTS) if random.random() < OFF_TOPIC else sentiment


def _judgement(random: np.random.Generator, domain: Domain, sentiment: str) -> str:
    return _pick(random, domain.judgements[sentiment] if random.random() < 0.7 else EVERYWHERE[sentiment])


def _pick(random: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(random.integers(len(choices)))]


def _break(frame: pd.DataFrame, how: str) -> None:
    if how == "cut_texts":
        frame["text"] = frame["text"].str[:3]
    elif how == "misspelt_sentiments":
        frame["sentiment"] = frame["sentiment"].map(MISSPELT)
    else:
        raise ValueError(f"broken_how was expected to be 'cut_texts' or 'misspelt_sentiments', found {how!r}")


def _dates(given: Date | Iterable[Date]) -> set[datetime.date]:
    several = [given] if isinstance(given, datetime.date | str) else given
    return {_date(value) for value in several}


def _date(value: Date) -> datetime.date:
    return datetime.date.fromisoformat(value) if isinstance(value, str) else value
