"""Real reviews become files that keep the sentiment template's contract; here made-up ones, written as the real ones are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd

SCRIPT = Path(__file__).parents[3] / "src/keepfit/templates/sentiment/real_data.py"
TWEETS = """tweet_id,airline_sentiment,airline,text,tweet_created
5.7E+17,neutral,A,@a is the gate open?,24-02-2015 11.35
5.7E+17,positive,A,"@a thank you, ""crew"" of today",24-02-2015 09.05
5.7E+17,negative,B,"two lines
of anger",23-02-2015 23.59
5.7E+17,negative,B,no,23-02-2015 23.58
"""


def converted(source: Path, folder: Path) -> dict[str, list[list[object]]]:
    done = subprocess.run([sys.executable, str(SCRIPT), str(source), str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    frames = {path.name: pd.read_csv(path) for path in sorted(folder.iterdir())}
    assert all(frame.columns.tolist() == ["id", "text", "sentiment"] for frame in frames.values())
    assert "1 left out" in done.stdout
    return {name: frame.to_numpy().tolist() for name, frame in frames.items()}


def test_tweets_become_a_file_a_day_and_what_is_too_short_is_left_out(tmp_path) -> None:
    (tmp_path / "tweets.csv").write_text(TWEETS)
    assert converted(tmp_path / "tweets.csv", tmp_path / "new") == {
        "2015-02-23.csv": [[3, "two lines\nof anger", "negative"]],
        "2015-02-24.csv": [
            [1, "@a is the gate open?", "neutral"],
            [2, '@a thank you, "crew" of today', "positive"],
        ],
    }


def test_labelled_sentences_keep_their_quotes_tabs_and_strange_ends_of_lines(tmp_path) -> None:
    lines = [
        '"A quote that nobody closes.  \t0',
        "One\x85line, though some count two.\t1",
        "A\ttab inside.\t1",
        f"{'so ' * 200}\t0",
    ]
    (tmp_path / "domain.txt").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    assert converted(tmp_path / "domain.txt", tmp_path / "new") == {
        "domain.csv": [
            [1, '"A quote that nobody closes.', "negative"],
            [2, "One\x85line, though some count two.", "positive"],
            [3, "A\ttab inside.", "positive"],
        ]
    }
