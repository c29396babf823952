"""Made-up files of tracked objects, as messy as the real ones: one file a day, the same for the same day, seed and options.

A machine drives along a row of plants and films them. A tracker numbers what it takes for a stem and follows it through the
picture; people mark later which objects were stems. False objects are leaves and bits that are followed for a while.
"""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd

COLUMNS = ["object_id", "centroids_x", "centroids_y", "aspect_ratio", "area", "frames", "scores", "counted", "ground_truth"]
MANGLED = {name: name.replace("_", "+AF8-") for name in COLUMNS if "_" in name}
WRITTEN = (("1", "0"), ("1.0", "0.0"), ("True Positive", "False Positive"))  # how people wrote true and false
CAMERAS = ((720, 1280), (1080, 1920), (2160, 3840))  # width and height in pixels


def simulate(day: datetime.date, seed: int, *, covariate_drift: datetime.date | str | None = None) -> pd.DataFrame:
    """One file, every cell as it would stand in a CSV file.

    `covariate_drift`: from this day on the field is full of weeds, which cross the whole picture as stems do, though the
    tracker keeps losing them and their area is restless. A model that has never met them counts them as stems.
    """
    random = np.random.default_rng([seed, day.toordinal()])
    weedy = covariate_drift is not None and day >= _date(covariate_drift)
    stems = int(random.integers(25, 70))
    others = random.binomial(stems, 0.5 if weedy else 0.2)
    is_stem = random.permutation(np.repeat([True, False], [stems, others]))
    width, height = CAMERAS[random.integers(len(CAMERAS))]
    pace = width * random.uniform(0.008, 0.025)  # pixels per frame
    start, number = int(random.integers(0, 200)), int(random.integers(1, 5000))
    tracks = []
    for true in is_stem:
        track = _track(random, width, height, pace, is_stem=bool(true), weedy=weedy)
        track["frames"] += start
        track["object_id"] = number
        track["ground_truth"] = bool(true)
        tracks.append(track)
        start += int(random.integers(10, 90))
        number += int(random.integers(1, 9))
    return _as_written(random, pd.concat(tracks, ignore_index=True))


def _track(random: np.random.Generator, width: int, height: int, pace: float, *, is_stem: bool, weedy: bool) -> pd.DataFrame:
    """The appearances of one object from its first frame, numbered 0."""
    is_weed = weedy and not is_stem and random.random() < 0.9
    whole = is_weed or (is_stem and random.random() < 0.9)
    share = random.beta(12, 1.5) if whole else random.beta(1.5, 4)  # of the picture that it is followed through
    own_pace = pace * random.lognormal(0, 0.15 if is_stem else 0.35)
    passed = max(2, int(share * width / own_pace))
    lost = random.beta(2, 40) if not is_weed else random.beta(5, 9)
    seen = random.random(passed) >= lost
    seen[0] = seen[-1] = True
    frames = np.flatnonzero(seen)
    restless = 0.18 if is_stem else 0.4 if is_weed else 0.3

    size = width * height * random.lognormal(-2.6, 0.25)
    swelling = 1 + 0.25 * np.sin(np.pi * frames / passed)
    area = size * swelling * random.lognormal(0, restless * random.uniform(0.5, 1.5), frames.size)
    area[0] = 0  # not measured yet
    x = random.uniform(0, width * (1 - share) + 1) + own_pace * frames + random.normal(0, width / 400, frames.size)
    y = random.uniform(0.5, 0.9) * height + random.normal(0, height / 300, frames.size).cumsum()
    return pd.DataFrame(
        {
            "centroids_x": x.clip(0, width).round(),
            "centroids_y": y.clip(0, height).round(),
            "aspect_ratio": np.where(area > 0, random.lognormal(1.6, 0.4, frames.size), 0.0),
            "area": area.clip(0, width * height).round(),
            "frames": frames,
            "scores": random.beta(6, 2, frames.size).clip(0.1, 0.97).round(2),
        }
    )


def _as_written(random: np.random.Generator, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows as text, in one of the ways in which the files of different people and programs differ."""
    yes, no = WRITTEN[random.integers(len(WRITTEN))]
    labels = np.where(rows["ground_truth"], yes, no).astype(object)
    if random.random() < 0.15:
        labels[rows["object_id"].duplicated().to_numpy()] = ""  # only the first appearance was marked
    if random.random() < 0.15:
        divided = rows["aspect_ratio"] > 0
        rows["aspect_ratio"] = rows["aspect_ratio"].where(~divided, rows["aspect_ratio"] * 1e16)  # divided by almost nothing
    text = pd.DataFrame({name: rows[name].map("{:g}".format) for name in COLUMNS[:-2] if name not in ("object_id", "area")})
    text["object_id"], text["area"] = rows["object_id"].astype(str), rows["area"].map("{:.0f}".format)
    text["counted"] = ("TRUE", "True", "1.0")[random.integers(3)]
    text["ground_truth"] = labels
    text = text[COLUMNS]
    if random.random() < 0.1:
        blank = pd.DataFrame("", index=range(int(random.integers(1, 400))), columns=COLUMNS)
        text = pd.concat([text, blank], ignore_index=True)
    return text.rename(columns=MANGLED) if random.random() < 0.3 else text


def _date(value: datetime.date | str) -> datetime.date:
    return datetime.date.fromisoformat(value) if isinstance(value, str) else value
