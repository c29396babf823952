"""The UCI SMS Spam Collection as a file of this project's columns:

    python real_data.py SMSSpamCollection data/new

`keepfit data download sms-spam` does the same after it has fetched and checked the collection. Settings alone cannot read it:
there is no header, and quotation marks stand alone.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path

LABELS = ("ham", "spam")
NAME = "sms-spam-collection.csv"


def main(source: str, folder: str) -> None:
    path = Path(folder, NAME)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = as_csv(Path(source).read_text(encoding="utf-8"))
    path.write_text(table, encoding="utf-8", newline="")
    sys.stdout.write(f"{path} is there\n")


def as_csv(collection: str) -> str:
    """The collection's text as CSV with a header."""
    made = io.StringIO(newline="")
    csv.writer(made, lineterminator="\n").writerows([("label", "message"), *read(collection)])
    return made.getvalue()


def read(collection: str) -> Iterator[tuple[str, str]]:
    """Label and message of every line: the label, a tab, the message; nothing else ends a line or quotes."""
    for number, line in enumerate(collection.split("\n"), 1):
        if not line:
            continue
        label, tab, message = line.partition("\t")
        if not tab or label not in LABELS:
            raise ValueError(f"line {number}: expected ham or spam, a tab and a message, found {line[:40]!r}")
        yield label, message


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python real_data.py FILE FOLDER")
    main(*sys.argv[1:])
