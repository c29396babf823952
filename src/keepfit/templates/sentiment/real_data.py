"""Real reviews as files of this project's columns:

    python real_data.py airline_Tweets.csv data/new
    python real_data.py sentiment_yelp_labelled.txt data/new

Settings alone cannot read them: the labelled sentences have neither header nor id and their quotation marks stand alone, and
the tweets' own id is not unique. Lines that the contract would refuse, shorter than 5 characters or longer than 500, are left
out and counted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

LENGTHS = (5, 500)


def main(source: str, folder: str) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, reviews in read(Path(source)):
        kept = within_lengths(reviews)
        kept.to_csv(Path(folder, name), index=False)
        sys.stdout.write(f"{name}: {len(kept)} reviews, {len(reviews) - len(kept)} left out\n")


def read(source: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """File names with their reviews (id, text, sentiment): airline tweets a day each, labelled sentences all in one."""
    if source.suffix == ".csv":
        yield from tweets(source)
    else:
        yield f"{source.stem}.csv", sentences(source)


def tweets(source: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """A file for each day of tweet_created, oldest first."""
    rows = pd.read_csv(source, usecols=["airline_sentiment", "text", "tweet_created"], dtype=str)
    created = pd.to_datetime(rows["tweet_created"], format="%d-%m-%Y %H.%M")
    reviews = _numbered(rows["text"], rows["airline_sentiment"])
    for day, of_day in reviews.groupby(created.dt.date):
        yield f"{day}.csv", of_day


def sentences(source: Path) -> pd.DataFrame:
    """Lines of a text, a tab and 1 for positive or 0 for negative; nothing else ends a line or quotes."""
    pairs = [line.rsplit("\t", 1) for line in source.read_text(encoding="utf-8").split("\n") if line.strip()]
    texts, labels = zip(*pairs, strict=True)
    return _numbered(pd.Series(texts).str.strip(), pd.Series(labels).str.strip().map({"0": "negative", "1": "positive"}))


def within_lengths(reviews: pd.DataFrame) -> pd.DataFrame:
    return reviews[reviews["text"].str.len().between(*LENGTHS)]


def _numbered(texts: pd.Series, sentiments: pd.Series) -> pd.DataFrame:
    return pd.DataFrame({"id": range(1, len(texts) + 1), "text": texts, "sentiment": sentiments})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python real_data.py FILE FOLDER")
    main(*sys.argv[1:])
