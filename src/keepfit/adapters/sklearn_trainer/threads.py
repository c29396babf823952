"""How many threads: fits beside each other, and within one fit. Neither may change a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keepfit.adapters.sklearn_trainer.candidates import Option

if TYPE_CHECKING:
    import pandas as pd

_DRAWING = ("LinearSVC", "LinearSVR", "SVC", "NuSVC")  # liblinear's and libsvm's, beside LogisticRegression's solver


def disturb_each_other(options: Sequence[Option]) -> bool:
    """Whether no two may be fitted beside each other in one process: where any option's model is fitted by liblinear or libsvm.

    Those draw from one random source for the whole process, whatever seed each is given, so that two at once would disturb each
    other and the same rows would make another model each time. What they are fitted on is shared (see `sharing`), which saves more
    than a second thread would.
    """
    return any(_draws(part) for option in options for part in _parts(option))


def within_a_fit(rows: pd.DataFrame, features: Sequence[str]) -> int | None:
    """Threads for linear algebra and boosting inside one fit: one for small data, where several only wait for each other
    (fifteen times slower beside another busy process, measured), and the libraries' own choice for large."""
    return 1 if len(rows) * len(features) < 5_000_000 else None


def _parts(option: Option) -> list[Any]:
    return list(option.built().get_params(deep=True).values())


def _draws(part: Any) -> bool:
    kind = type(part)
    ours = kind.__module__.startswith("sklearn.")
    return ours and (kind.__name__ in _DRAWING or getattr(part, "solver", None) == "liblinear")
