"""The first file: Fisher's 150 flowers, as scikit-learn has them, the species by name.

    python first_data.py data/new

`keepfit init iris DIR` has put it there already.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

COLUMNS = ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"]
NAME = "iris.csv"


def flowers() -> pd.DataFrame:
    """Four measurements in cm, and the species: setosa, versicolor or virginica."""
    from sklearn.datasets import load_iris

    found = load_iris(as_frame=True)
    names = [str(name) for name in found.target_names]
    measured: pd.DataFrame = found.frame.set_axis(COLUMNS, axis="columns")
    return measured.assign(species=[names[number] for number in measured["species"]])


def main(folder: str) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    flowers().to_csv(Path(folder, NAME), index=False)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python first_data.py FOLDER")
    main(sys.argv[1])
