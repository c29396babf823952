"""What the model sees of a customer.

Row by row, in training and in serving alike: nothing here looks at another customer or learns from the data. What must be
learned (medians, caps, scales, categories) keepfit fits on training rows and stores inside the model.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

CREDIT_BANDS = {"poor": 580, "fair": 670, "good": 740, "excellent": 851}  # each below this score


def prepare(frame: pd.DataFrame) -> pd.DataFrame:
    """The customers' own columns and what follows from them. A feature is missing where one it is made of is."""
    given = frame.drop(columns=["customer_id", "timestamp"])
    given["has_mobile_app"] = frame["has_mobile_app"].astype("boolean").astype("Float64").astype("float64")
    return pd.concat([given, _time(frame), _behaviour(frame), _risk(frame), _segment(frame)], axis=1)


def _time(frame: pd.DataFrame) -> pd.DataFrame:
    """The time of day, but not the day: a model that saw few days knows each by its weekday, and takes what changed on one for
    a habit of that weekday."""
    hour = frame["timestamp"].dt.hour.astype(float)
    return pd.DataFrame({"hour": hour, "out_of_hours": ((hour < 9) | (hour >= 18)) * 1.0})


def _behaviour(frame: pd.DataFrame) -> pd.DataFrame:
    transactions, opens = frame["num_transactions_last_30d"], frame["email_opens_last_30d"]
    return pd.DataFrame(
        {
            "spend_per_transaction": frame["total_spend_last_30d"] / transactions.clip(lower=1),
            # 0 to 1: nothing done in a month, up to a transaction every day and an email every other
            "engagement_score": (transactions / 30).clip(upper=1) * 0.5 + (opens / 15).clip(upper=1) * 0.5,
        }
    )


def _risk(frame: pd.DataFrame) -> pd.DataFrame:
    tickets, days = frame["support_tickets_last_90d"], frame["account_length_days"]
    edges = [0.0, *CREDIT_BANDS.values()]
    band = pd.cut(frame["credit_score"], edges, labels=list(CREDIT_BANDS), right=False).astype(object)
    return pd.DataFrame(
        {
            "credit_band": band.where(band.notna(), None),
            "tickets_per_transaction": tickets / (frame["num_transactions_last_30d"] + 1),
            "newness": np.exp(-days / 365),
            "spend_to_income": frame["total_spend_last_30d"] * 12 / frame["income"].clip(lower=1),
        }
    )


def _segment(frame: pd.DataFrame) -> pd.DataFrame:
    segment, app = frame["customer_segment"], frame["has_mobile_app"].astype("boolean").map({True: "app", False: "no app"})
    both = segment.astype(object) + ", " + app.astype(object)
    return pd.DataFrame(
        {
            "segment_and_app": both.where(both.notna(), None),
            "products_per_year": frame["num_products"] / (frame["account_length_days"] / 365 + 1),
        }
    )
