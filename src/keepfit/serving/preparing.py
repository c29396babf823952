"""One request through the project's own features, by the code that prepares batches for training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from keepfit.contract import read_cells
from keepfit.errors import DataError, UserCodeError
from keepfit.inputs import Inputs
from keepfit.prepared import features_of_row

if TYPE_CHECKING:
    import pandas as pd

    from keepfit.ports import ProjectCode


def prepared(row: dict[str, Any], inputs: Inputs, code: ProjectCode) -> pd.DataFrame:
    """The features of one row, in the model's order. Raises `DataError`, `UserCodeError`."""
    raw = pl.DataFrame({name: [row[name]] for name in inputs.columns})
    typed, faults = read_cells(raw, inputs.columns)
    if faults:
        raise DataError(f"This row does not hold what was promised: {faults[0].finding}")
    features = features_of_row(typed, inputs.hidden, code)
    missing = [name for name in inputs.features if name not in features.columns]
    if missing:
        raise UserCodeError(f"{inputs.prepare} made no {', '.join(missing)} of this row, which the model was trained on.")
    return features.select(inputs.features).to_pandas()
