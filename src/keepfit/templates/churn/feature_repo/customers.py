"""What keepfit prepared, as features that others can read from Feast.

`keepfit data prepared` writes the rows of a cycle below prepared_data/DATE; features.py has made them, and nothing in them was
fitted: medians, caps and scales travel inside the model.
"""

from datetime import timedelta
from pathlib import Path

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, String

PREPARED = Path(__file__).resolve().parents[1] / "prepared_data"

NUMBERS = (
    "age",
    "income",
    "credit_score",
    "account_length_days",
    "num_products",
    "total_spend_last_30d",
    "num_transactions_last_30d",
    "has_mobile_app",
    "email_opens_last_30d",
    "support_tickets_last_90d",
    "hour",
    "out_of_hours",
    "spend_per_transaction",
    "engagement_score",
    "tickets_per_transaction",
    "newness",
    "spend_to_income",
    "products_per_year",
)
CATEGORIES = ("region", "customer_segment", "credit_band", "segment_and_app")

customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)

prepared = FileSource(name="prepared_data", path=str(PREPARED), timestamp_field="timestamp")

customers = FeatureView(
    name="customers",
    entities=[customer],
    ttl=timedelta(days=0),  # a customer is what was last seen of them, however long ago
    schema=[
        *(Field(name=name, dtype=Float64) for name in NUMBERS),
        *(Field(name=name, dtype=String) for name in CATEGORIES),
    ],
    source=prepared,
)
