"""What the model sees of a tracked object, and what a good model is.

keepfit calls `prepare` once for every data file, in training and in serving alike, and `mean_error` for every file that has
labels. Nothing here is learned from the data: a file's features depend on that file alone.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

FEATURES = ["speed", "area_spread", "area_spread_adjusted", "distance", "frames_adjusted"]


def prepare(frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each tracked object of a file.

    - `speed`: pixels that the centroid moved from first to last appearance, per frame between them
    - `area_spread`: standard deviation of the object's area, in square pixels
    - `area_spread_adjusted`: the same divided by the object's mean area, so that near and far objects compare
    - `distance`: pixels between the centroids of the first and the last appearance
    - `frames_adjusted`: frames in which the object was found, as a share of the frames from first to last

    Each is then divided by its median over the file's objects: another camera, resolution or driving speed changes all
    objects of a file alike and disappears, while an odd object stays odd, however many odd ones there are. The median of
    most features hardly moves with the share of false objects; a mean and a standard deviation would.
    """
    known = frame.dropna(subset=["object_id", "frames", "centroids_x", "centroids_y"])
    tracks = known.sort_values(["object_id", "frames"], kind="stable").groupby("object_id", sort=True)
    first, last = tracks.first(), tracks.last()
    passed = last["frames"] - first["frames"]
    distance = np.hypot(last["centroids_x"] - first["centroids_x"], last["centroids_y"] - first["centroids_y"])

    # The tracker writes an area of 0 where it has not measured one yet, always so in an object's first frame.
    measured = known["area"].where(known["area"] > 0).groupby(known["object_id"])
    spread = measured.std(ddof=0).fillna(0.0)

    objects = pd.DataFrame(
        {
            "speed": distance / passed.clip(lower=1),
            "area_spread": spread,
            "area_spread_adjusted": (spread / measured.mean()).fillna(0.0),
            "distance": distance,
            "frames_adjusted": tracks.size() / (passed + 1),
        }
    )
    return _by_median(objects[FEATURES]).rename_axis("object_id").reset_index()


def mean_error(rows: pd.DataFrame) -> float | None:
    """How far the count of one file is off, in percent of the true count; None for a file without true objects.

    `rows` are the labelled objects of one file with their `truth` and `predicted` class.
    """
    truth, predicted = (_positive_objects(rows, column) for column in ("truth", "predicted"))
    return 100.0 * abs(truth - predicted) / truth if truth else None


def train(features: pd.DataFrame, target: pd.Series) -> object:
    """Your own training script in place of the candidates: name it in keepfit.toml as train.function.

    Whatever is returned must have `predict(features)`. This one is the forest of keepfit.toml, with the two classes given
    equal weight.
    """
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(n_estimators=300, max_depth=10, class_weight="balanced", random_state=0)
    return forest.fit(features, target)


def _by_median(objects: pd.DataFrame) -> pd.DataFrame:
    """Each column in multiples of its median; unchanged where the median is 0."""
    medians = objects.median()
    return objects / medians.where(medians > 0, 1.0)


def _positive_objects(rows: pd.DataFrame, column: str) -> int:
    """Objects whose rows are positive by majority; a tie is none."""
    return int(((rows[column] == "positive").groupby(rows["object_id"]).mean() > 0.5).sum())
