"""Opens a model version from the cache, and answers rows with it.

There are two ways through a model. The short one is arithmetic that was taken out of it (`keepfit.serving.compiled`); it is taken
where it was shown to say the same on opening. The plain one is the one that training and comparing use: a table, and the model
itself. Where the project has a function `prepare`, the rows go through it first, each by itself, by the code with which training
prepares batches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keepfit.errors import ConfigError, DataError, KeepfitError, ModelRefused, UserCodeError
from keepfit.inputs import Inputs, inputs_from_signature, read, rows_of_example
from keepfit.ports import Model, ModelFormat
from keepfit.serving.answers import Answer, Contribution
from keepfit.serving.compiled import Compiled, Linear, NotCompiled, compiled, known_terms
from keepfit.serving.compiled.blocks import Terms
from keepfit.serving.compiled.linear import Said
from keepfit.serving.compiled.proof import difference, edge_rows
from keepfit.serving.plan import Placed
from keepfit.stats.top_label import confident
from keepfit.versions import CODE_PATH, INPUTS_PATH, hash_of_served

if TYPE_CHECKING:
    import pandas as pd

    from keepfit.ports import ProjectCode

MODEL_PATH = "model"  # of the version's folder
QUICK = 5e-4  # seconds that a row may take on the event loop
EXAMPLES = 5  # stored rows that both ways must agree on

Row = dict[str, Any]


def open_model(placed: Placed, formats: Sequence[ModelFormat]) -> LoadedModel:
    """Load a version, find the short way through it, and try both on rows.

    Nothing is fetched and MLflow is not imported. Raises `ModelRefused` when it cannot be loaded, is not what was registered or
    cannot answer, `DataError` when nobody knows what to ask it, `ConfigError` when it cannot be served, `UserCodeError` when the
    project's functions cannot be loaded.
    """
    folder = Path(placed.folder)
    _check_served(folder, placed)
    model = _load(folder / MODEL_PATH, placed, formats)
    _alone(getattr(model, "estimator", None))
    inputs = _inputs(folder, model)
    if inputs.unit is not None:
        raise ConfigError(
            f"{placed.model} version {placed.version} makes one prediction of several rows (data.unit = {inputs.unit!r}), and a "
            "request is one row: it cannot be served. Predict such batches where they are."
        )
    loaded = LoadedModel(inputs, model, _code(folder, inputs, placed))
    stored = rows_of_example(_text(folder / MODEL_PATH / "input_example.json"))[:EXAMPLES]
    loaded.shorten(stored)
    try:
        loaded.warm()
    except KeepfitError as error:
        raise ModelRefused(f"{placed.model} version {placed.version} cannot answer its own example: {error}") from error
    return loaded


class LoadedModel:
    """See `keepfit.serving.answers.Loaded`. `plain` says why the plain way is taken; empty where the short one is."""

    def __init__(self, inputs: Inputs, model: Model, code: ProjectCode | None = None) -> None:
        self.inputs, self.plain, self.quick, self.together = inputs, "it was not tried", False, code is None
        self._model, self._code = model, code
        self._short: Compiled | None = None
        self._sure = confident(inputs.confidence)
        self._classes = inputs.classes

    def answer(self, rows: Sequence[Row], top: int = 0) -> list[Answer]:
        if self._code is not None:
            return [self._answered(said, top) for row in rows for said in self._prepared(row, traced=top > 0)]
        if self._short is None:
            return [self._answered(said, top) for said in self._plainly(rows)]
        try:
            return [self._answered(said, top) for said in self._short.say(rows, traced=top > 0)]
        except KeepfitError:
            raise
        except Exception as error:
            raise _failed(error) from error

    def shorten(self, stored: Sequence[Row]) -> None:
        """Take the short way where there is one, and where it says what the model says of the stored rows, prepared as the model
        knows them, and of rows at the edges."""
        types = {name: self._type(name, stored) for name in self.inputs.features}
        try:
            estimator = getattr(self._model, "estimator", None)
            if estimator is None:
                raise NotCompiled(f"{type(self._model).__name__} is not scikit-learn's")
            short = compiled(estimator, types)
            if short.classes != self._classes:
                raise NotCompiled(f"its classes are {short.classes}, where {self._classes} were expected")
            known = known_terms(short)
            examples = [*stored, self.inputs.example] if self._code is None else stored
            rows = edge_rows(types, known, [row for row in examples if row])
            if other := difference(short.say, lambda some: self._said(self._frame(some, types)), rows):
                raise NotCompiled(f"it said something else: {other}")
        except NotCompiled as error:
            self.plain = str(error)
            return
        self._short, self.plain = short, ""

    def warm(self) -> None:
        """Answer the example, and see how long that takes."""
        if not self.inputs.example:
            return
        row = _typed(self.inputs)
        for number in (1, 16):
            self.answer([row] * number, top=5)
        took = []
        for _ in range(3):
            start = time.perf_counter()
            self.answer([row], top=5)
            took.append(time.perf_counter() - start)
        self.quick = self._code is None and (isinstance(self._short, Linear) or min(took) < QUICK)

    # --------------------------------------------------------------------------------------------------------- answering

    def _answered(self, said: Said, top: int) -> Answer:
        place, probabilities, number, terms = said
        named = _largest(terms, top) if top and terms else ()
        if number is not None:
            return Answer(number, None, None, named)
        label = self._classes[place]
        if probabilities is None:
            return Answer(label, None, None, named)
        return Answer(label, self._sure(probabilities[place]), dict(zip(self._classes, probabilities, strict=True)), named)

    def _plainly(self, rows: Sequence[Row]) -> list[Said]:
        columns = self.inputs.columns
        try:
            return self._said(self._frame(rows, {name: columns[name].type for name in self.inputs.features}))
        except KeepfitError:
            raise
        except Exception as error:
            raise _failed(error) from error

    def _prepared(self, row: Row, *, traced: bool) -> list[Said]:
        """One row through the project's own features."""
        from keepfit.serving.preparing import prepared

        assert self._code is not None  # noqa: S101 - the caller has looked
        frame = prepared(row, self.inputs, self._code)
        try:
            if self._short is not None:
                cells = zip(*(frame[name].tolist() for name in self.inputs.features), strict=True)
                return self._short.say([dict(zip(self.inputs.features, each, strict=True)) for each in cells], traced=traced)
            return self._said(frame)
        except KeepfitError:
            raise
        except Exception as error:
            raise _failed(error) from error

    def _said(self, frame: pd.DataFrame) -> list[Said]:
        """What the model itself says."""
        told = self._model.predict(frame)
        if not told.classes:
            return [(0, None, value, []) for value in np.asarray(told.values, dtype=float).tolist()]
        if told.classes != self._classes:
            raise ModelRefused(f"The model knows the classes {told.classes}, and its description says {self._classes}.")
        places = {name: place for place, name in enumerate(told.classes)}
        probabilities = [None] * len(frame) if told.probabilities is None else told.probabilities.tolist()
        return [(places[str(label)], one, None, []) for label, one in zip(told.values, probabilities, strict=True)]

    def _frame(self, rows: Sequence[Row], types: Mapping[str, str]) -> pd.DataFrame:
        """The rows as the table that the model was trained on."""
        import pandas as pd

        cells: dict[str, Any] = {}
        for name, kind in types.items():
            values = [row[name] for row in rows]
            if kind in ("number", "integer", "boolean"):
                cells[name] = np.array([np.nan if value is None else value for value in values], dtype=float)
            else:
                cells[name] = np.array([*map(_CELLS[kind], values), None], dtype=object)[:-1]  # never an array of arrays
        return pd.DataFrame(cells, index=range(len(rows)))

    def _type(self, name: str, stored: Sequence[Row]) -> str:
        """A feature's type: the contract's, or what the project's features look like."""
        if self._code is None and name in self.inputs.columns:
            return self.inputs.columns[name].type
        if name in self.inputs.texts:
            return "text"
        filled = [row[name] for row in stored if row.get(name) is not None]
        return "category" if any(isinstance(value, str) for value in filled) else "number"


def _category(value: Any) -> Any:
    from keepfit.serving.compiled.categories import clean

    return clean(value) or None


def _said_text(value: Any) -> Any:
    return value if value is None or (isinstance(value, str) and value.strip()) else None


_CELLS: dict[str, Callable[[Any], Any]] = {"category": _category, "text": _said_text, "datetime": lambda value: value}


def _largest(terms: Terms, top: int) -> tuple[Contribution, ...]:
    first = sorted(terms, key=_size)[:top]
    return tuple([Contribution(name, value) for name, value in first if value])


def _size(term: tuple[str, float]) -> float:
    return -abs(term[1])


def _failed(error: Exception) -> KeepfitError:
    """scikit-learn says ValueError of rows that it cannot take; anything else is a fault of the model's code."""
    if isinstance(error, ValueError):
        return DataError(f"The model cannot answer this row: {error}")
    return UserCodeError(f"The model failed: {type(error).__name__}: {error}")


# --------------------------------------------------------------------------------------------------------------- opening


def _load(folder: Path, placed: Placed, formats: Sequence[ModelFormat]) -> Model:
    for format in formats:
        if (model := format.load(folder, placed.content_hash)) is not None:
            return model
    raise ModelRefused(f"{placed.model} version {placed.version} is stored in no format that keepfit loads.")


def _check_served(folder: Path, placed: Placed) -> None:
    """Whoever can write to the artifact store must not say what servers run, nor how they are asked."""
    if placed.served is not None and (found := hash_of_served(folder)) != placed.served:
        raise ModelRefused(
            f"{INPUTS_PATH} or {CODE_PATH}/ of {placed.model} version {placed.version} are not what was registered: expected the "
            f"sha256 {placed.served}, found {found}. Put the artifacts of its run right, or promote another version."
        )


def _alone(estimator: Any) -> None:
    """No threads or processes of its own: a worker answers in one."""
    for step in [estimator, *(inner for _, inner in getattr(estimator, "steps", ()))]:
        if hasattr(step, "n_jobs") and step.n_jobs not in (None, 1):
            step.n_jobs = 1


def _inputs(folder: Path, model: Model) -> Inputs:
    if stored := _text(folder / INPUTS_PATH):
        return read(stored)
    place = folder / MODEL_PATH
    example = _text(place / "input_example.json")
    return inputs_from_signature(_text(place / "MLmodel"), example, _classes(model, rows_of_example(example)))


def _classes(model: Model, rows: Sequence[Row]) -> tuple[str, ...]:
    """What the model tells apart; a format that does not say so is asked."""
    estimator = getattr(model, "estimator", None)
    if estimator is not None:
        return tuple(str(name) for name in np.asarray(getattr(estimator, "classes_", ())).tolist())
    if not rows:
        return ()
    import pandas as pd

    return model.predict(pd.DataFrame(rows)).classes


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _code(folder: Path, inputs: Inputs, placed: Placed) -> ProjectCode | None:
    if inputs.prepare is None:
        return None
    from keepfit.opened_ports import code_of_version

    return code_of_version(folder / CODE_PATH, inputs.prepare, placed.code)


def _typed(inputs: Inputs) -> Row:
    """The example as a request that was read: every field, dates as dates."""
    row: Row = {name: inputs.example.get(name) for name in inputs.columns}
    for name, column in inputs.columns.items():
        if column.type == "datetime" and isinstance(row[name], str):
            form = column.format
            row[name] = datetime.strptime(row[name], form) if form else datetime.fromisoformat(row[name])  # noqa: DTZ007 - without zones
    return row
