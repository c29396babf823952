"""Made-up customers, 800 to 1,300 a day, the same for the same day, seed and options.

What makes a customer leave is known here, so that it can be changed on a date: see the options of `simulate`.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = [
    "customer_id",
    "age",
    "income",
    "credit_score",
    "account_length_days",
    "num_products",
    "total_spend_last_30d",
    "num_transactions_last_30d",
    "region",
    "customer_segment",
    "has_mobile_app",
    "email_opens_last_30d",
    "support_tickets_last_90d",
    "timestamp",
    "churn_probability",
]
NEVER_MISSING = ("customer_id", "timestamp", "churn_probability")
MAY_BE_OUTLIERS = (
    "income",
    "total_spend_last_30d",
    "num_transactions_last_30d",
    "email_opens_last_30d",
    "support_tickets_last_90d",
)
MISSING, OUTLIERS = 0.05, 0.02  # shares of the cells that are emptied or made far too large
REGIONS, SEGMENTS = ("north", "south", "east", "west"), ("basic", "standard", "premium")

Date = datetime.date | str


def simulate(
    day: datetime.date,
    seed: int,
    *,
    covariate_drift: Date | None = None,
    concept_drift: Date | None = None,
    broken: Date | Iterable[Date] = (),
    broken_how: str = "no_credit_score",
) -> pd.DataFrame:
    """One day's customers.

    - `covariate_drift`: from this day on other people come (younger, poorer, with less credit, on the app), who leave
      for the same reasons as before
    - `concept_drift`: from this day on the same people leave for other reasons, and an old model is wrong
    - `broken`: on this day or these days something upstream is broken, as `broken_how` says: "no_credit_score" (the column
      is empty) or "income_in_cents"
    """
    random = np.random.default_rng([seed, day.toordinal()])
    rows = int(random.integers(800, 1301))
    frame = _people(random, rows, shifted=_reached(day, covariate_drift))
    frame["timestamp"] = pd.Timestamp(day) + pd.to_timedelta(random.integers(7 * 3600, 22 * 3600, rows), unit="s")
    frame["customer_id"] = [f"C{day:%Y%m%d}-{number:05d}" for number in range(1, rows + 1)]
    tendency = _new_reasons(frame) if _reached(day, concept_drift) else _reasons(frame)
    frame["churn_probability"] = (1 / (1 + np.exp(-(tendency + random.normal(0, 0.5, rows))))).round(4)
    frame = _with_faults(random, frame[COLUMNS])
    if day in _dates(broken):
        _break(frame, broken_how)
    return frame


def quality(frame: pd.DataFrame) -> dict[str, Any]:
    """What to know of a day's data before using it.

    A number is an outlier when it lies more than 3 interquartile ranges outside the quartiles of its column; the outlier share
    is their number divided by the number of filled cells of those columns that hold numbers. A row is a duplicate when it
    equals an earlier one in everything but its customer_id.
    """
    numbers = frame.select_dtypes("number").drop(columns="churn_probability", errors="ignore")
    low, high = numbers.quantile(0.25), numbers.quantile(0.75)
    outliers = (numbers < low - 3 * (high - low)) | (numbers > high + 3 * (high - low))
    filled = int(numbers.notna().to_numpy().sum())
    return {
        "rows": len(frame),
        "missing": {name: round(float(share), 4) for name, share in frame.isna().mean().items()} if len(frame) else {},
        "outliers": round(float(outliers.to_numpy().sum()) / filled, 4) if filled else None,
        "duplicates": int(frame.drop(columns="customer_id", errors="ignore").duplicated().sum()),
    }


def _people(random: np.random.Generator, rows: int, *, shifted: bool) -> pd.DataFrame:
    age = (18 + random.gamma(4, 5.0 if shifted else 6.5, rows)).clip(18, 90).round()
    segment = random.choice(SEGMENTS, rows, p=(0.6, 0.3, 0.1) if shifted else (0.45, 0.38, 0.17))
    rank = np.select([segment == "basic", segment == "standard"], [0, 1], 2)
    income = (random.lognormal(10.45 if shifted else 10.75, 0.4, rows) * (1 + 0.3 * rank)).clip(16_000, 250_000).round(2)
    score = random.normal(620 if shifted else 670, 70, rows) + 15 * rank
    transactions = random.poisson(random.gamma(3, 6, rows))
    return pd.DataFrame(
        {
            "age": age,
            "income": income,
            "credit_score": score.clip(300, 850).round(),
            "account_length_days": random.gamma(1.3, 400 if shifted else 600, rows).clip(1, 7300).round(),
            "num_products": (1 + random.binomial(4, 0.2 + 0.1 * rank)).astype(float),
            "total_spend_last_30d": (transactions * random.lognormal(3.2, 0.5, rows) * (1 + 0.4 * rank)).round(2),
            "num_transactions_last_30d": transactions.astype(float),
            "region": random.choice(REGIONS, rows),
            "customer_segment": segment,
            "has_mobile_app": random.random(rows) < (0.85 if shifted else 0.6),
            "email_opens_last_30d": random.poisson(random.gamma(2, 2.5, rows)).astype(float),
            "support_tickets_last_90d": random.poisson(random.gamma(1.2, 1.1, rows)).astype(float),
        }
    )


def _reasons(people: pd.DataFrame) -> pd.Series:
    """How strongly each customer tends to leave (log-odds): most reasons matter only together with another."""
    active = _active(people)
    tickets = people["support_tickets_last_90d"].clip(upper=5)
    new = np.exp(-people["account_length_days"].to_numpy() / 250)
    reasons: pd.Series = (
        -0.6
        + 0.55 * tickets * (1 - active)  # trouble drives away those who hardly use the bank
        - 1.6 * active
        + 1.9 * new * (people["num_products"] <= 1)  # new and with one product: only looking
        + 1.3 * ((people["credit_score"] < 620) & (people["customer_segment"] != "premium"))
        - 1.1 * (people["has_mobile_app"] & (people["age"] < 45))
        + 1.0 * ((people["customer_segment"] == "premium") & (_spend(people) < 25))
        + 0.3 * (people["region"] == "west")
    )
    return reasons


def _new_reasons(people: pd.DataFrame) -> pd.Series:
    """The same after a competitor has come, with a better app and an offer for customers with good credit."""
    return (
        _reasons(people)
        + 1.2 * (people["has_mobile_app"] & (people["age"] < 45))
        + 0.7 * ((people["credit_score"] > 690) & (people["num_products"] <= 2))
        - 0.7 * ((people["credit_score"] < 620) & (people["customer_segment"] != "premium"))
    )


def _active(people: pd.DataFrame) -> np.ndarray:
    """0 to 1: how much a customer transacts and reads."""
    use = people["num_transactions_last_30d"] / 18 + people["email_opens_last_30d"] / 10
    active: np.ndarray = -np.expm1(-use.to_numpy())
    return active


def _spend(people: pd.DataFrame) -> pd.Series:
    return people["total_spend_last_30d"] / people["num_transactions_last_30d"].clip(lower=1)


def _with_faults(random: np.random.Generator, frame: pd.DataFrame) -> pd.DataFrame:
    """Cells far too large, and cells that are empty, after the truth was settled: faults of measurement."""
    for name in MAY_BE_OUTLIERS:
        far = random.random(len(frame)) < OUTLIERS
        frame[name] = frame[name].where(~far, ((frame[name] + 1) * random.uniform(3, 6, len(frame))).round())
    frame["income"] = frame["income"].clip(upper=900_000)
    for name in COLUMNS:
        if name not in NEVER_MISSING:
            empty = random.random(len(frame)) < MISSING
            column = frame[name].astype("boolean") if name == "has_mobile_app" else frame[name]
            frame[name] = column.mask(empty)
    return frame


def _break(frame: pd.DataFrame, how: str) -> None:
    if how == "no_credit_score":
        frame["credit_score"] = np.nan
    elif how == "income_in_cents":
        frame["income"] *= 100
    else:
        raise ValueError(f"broken_how was expected to be 'no_credit_score' or 'income_in_cents', found {how!r}")


def _reached(day: datetime.date, start: Date | None) -> bool:
    return start is not None and day >= _date(start)


def _dates(given: Date | Iterable[Date]) -> set[datetime.date]:
    several = [given] if isinstance(given, datetime.date | str) else given
    return {_date(value) for value in several}


def _date(value: Date) -> datetime.date:
    return datetime.date.fromisoformat(value) if isinstance(value, str) else value
