"""The bodies that are asked with and answered, apart from the model's own fields, as FastAPI describes them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"\S")]


class Asked(BaseModel):
    """A request's body: nothing else, and nothing turned into something else."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Rollback(Asked):
    """Take the champion back."""

    reason: Text = Field(description="Why, for the journal.", examples=["complaints about false alarms"])


class RoutingChange(Asked):
    """How two models are to share the traffic from now on."""

    mode: Literal["champion", "split", "shadow"] = Field(examples=["split"])
    challenger: Text | None = Field(default=None, description="A version, or an alias of the registry.", examples=["7"])
    share: float | None = Field(default=None, ge=0, le=1, description="The challenger's, where the traffic is split.")
    sticky: Text | None = Field(default=None, description="The field whose equal values meet the same model.")


class Contribution(BaseModel):
    """What one feature, or one term of a text, added to the answer."""

    feature: str
    contribution: float = Field(description="In log-odds (or the target's units) towards the answer; negative: against it.")


class Predicted(BaseModel):
    """An answer."""

    request_id: str = Field(description="Names this answer when its label comes back.")
    prediction: str | float
    confidence: float | None = Field(description="How likely the prediction is right, learnt on held-out rows; null: unknown.")
    probabilities: dict[str, float] | None = Field(description="The model's own, of every class.")
    model_version: str
    timestamp: datetime = Field(description="UTC.")
    top_features: list[Contribution] = Field(description="The largest contributions first.")
    logged: bool = Field(description='Whether the answer is in the log: always, unless serve.log.on_full = "continue".')


class PredictedBatch(BaseModel):
    """One answer a row, in their order."""

    predictions: list[Predicted]


class Recorded(BaseModel):
    """A label is in the log."""

    request_id: str
    recorded: bool
    label: str | float
    timestamp: datetime = Field(description="When it came, UTC. The label that came last counts.")


class Predictions(BaseModel):
    """Answers in MLflow's scoring protocol."""

    predictions: list[str | float]


class Health(BaseModel):
    """The process is alive."""

    status: Literal["alive"]


class Ready(BaseModel):
    """The process can answer."""

    status: Literal["ready"]
    model_version: str
    problems: dict[str, str] = Field(description="What is wrong though it can answer, and what is away.")


class Version(BaseModel):
    """A version that is followed."""

    model: str
    version: str
    content_hash: str | None


class Current(BaseModel):
    """Who answers."""

    model: str
    model_version: str
    content_hash: str | None
    task: str
    target: str
    classes: list[str]
    mode: Literal["champion", "split", "shadow"]
    challenger: Version | None
    share: float = Field(description="The challenger's, of the traffic.")
    shadows: list[Version] = Field(description="Versions that answer silently.")
    confidence_error: float | None = Field(
        description="Expected calibration error of `confidence` on held-out rows; null: not measured."
    )
    keepfit: str = Field(description="Version of keepfit.")
