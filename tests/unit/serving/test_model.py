"""A version is opened from its folder alone, answers as the model does, says how sure it is, and is refused with a reason."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC
from tests.unit.serving.pipelines import MESSAGE, TABLE, as_rows, columns, messages, outcome, table, texts

from keepfit.adapters.skops_models import SkopsModels
from keepfit.errors import ConfigError, DataError, ModelRefused, UserCodeError
from keepfit.inputs import Confidence, Inputs, text
from keepfit.serving import model as serving_model
from keepfit.serving.compiled import Dense, Linear
from keepfit.serving.model import open_model
from keepfit.serving.plan import Placed
from keepfit.settings import Column
from keepfit.steps import TYPES
from keepfit.versions import hash_of_served

FORMATS = [SkopsModels(TYPES)]
FRAME = table()
ROW = {"age": 1e6 + 1, "count": 4, "flag": True, "colour": "red", "city": "Ulm"}


def placed(folder: Path, model, inputs: Inputs | None = None, code: str | None = None, **files: str) -> Placed:
    """A version in the cache."""
    (folder / "model").mkdir(parents=True)
    stored = FORMATS[0].store(model, folder / "model")
    written = {**files} | ({"serving/inputs.json": text(inputs)} if inputs else {}) | ({"code/features.py": code} if code else {})
    for path, content in written.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(content)
    return Placed(model="demo", version="7", folder=str(folder), content_hash=stored.content_hash)


def asked(types, classes=("a", "b"), **more) -> Inputs:
    settings = {
        "features": tuple(types),
        "texts": tuple(name for name, kind in types.items() if kind == "text"),
        "classes": classes,
    }
    contract = {name: Column(type=kind) for name, kind in types.items()}
    return Inputs(**({"task": "classification", "target": "y", "columns": contract} | settings | more))


def fitted(end, classes=2):
    return Pipeline([("columns", columns()), ("end", end)]).fit(FRAME, outcome(FRAME, classes))


SPAM = Pipeline([("texts", texts()), ("end", LogisticRegression())]).fit(messages()[0], messages()[1])


def test_a_table_is_answered_as_the_model_does(tmp_path):
    model = fitted(LogisticRegression())
    loaded = open_model(placed(tmp_path / "v", model, asked(TABLE, example=ROW)), FORMATS)
    assert loaded.plain == ""
    assert isinstance(loaded._short, Linear)
    assert (loaded.quick, loaded.together) == (True, True)
    answers = loaded.answer(as_rows(FRAME.head(50)))
    assert [answer.prediction for answer in answers] == model.predict(FRAME.head(50)).tolist()
    probable = model.predict_proba(FRAME.head(50))
    for answer, (first, second) in zip(answers, probable, strict=True):
        assert answer.probabilities == pytest.approx({"a": first, "b": second})
        assert answer.confidence == pytest.approx(min(max(first, second), 0.9999))
        assert answer.top_features == ()


def test_the_largest_contributions_come_first_and_no_more_than_are_asked_for(tmp_path):
    loaded = open_model(placed(tmp_path / "v", fitted(LogisticRegression()), asked(TABLE)), FORMATS)
    (answer,) = loaded.answer([ROW], top=3)
    sizes = [abs(each.contribution) for each in answer.top_features]
    assert len(sizes) == 3
    assert sizes == sorted(sizes, reverse=True)
    assert {each.feature for each in answer.top_features} <= set(TABLE)
    assert len(loaded.answer([ROW], top=50)[0].top_features) == len(TABLE)


def test_top_features_of_a_message_are_its_own_words(tmp_path):
    loaded = open_model(placed(tmp_path / "v", SPAM, asked(MESSAGE, ("ham", "other", "spam"))), FORMATS)
    assert loaded.plain == ""
    (answer,) = loaded.answer([{"message": "FREE cash!! call now unheardofword"}], top=50)
    assert answer.prediction == "spam"
    named = [each.feature for each in answer.top_features]
    assert {"free", "cash"} <= set(named)
    assert all(part in "free cash!! call now unheardofword" for term in named for part in term.split())


def test_the_confidence_is_the_calibrated_one_and_the_probabilities_are_the_models_own(tmp_path):
    curve = Confidence(odds=(0.0, 9.0), probability=(0.5, 0.6), rows=500, error=0.01)
    loaded = open_model(placed(tmp_path / "v", fitted(LogisticRegression()), asked(TABLE, confidence=curve)), FORMATS)
    for answer in loaded.answer(as_rows(FRAME.head(20))):
        own = max(answer.probabilities.values())
        assert answer.confidence == pytest.approx(np.interp(np.log(own / (1 - own)), *curve_points(curve)))
        assert answer.prediction == max(answer.probabilities, key=answer.probabilities.get)


def curve_points(curve):
    return curve.odds, curve.probability


def test_a_model_without_probabilities_has_no_confidence(tmp_path):
    loaded = open_model(placed(tmp_path / "v", fitted(LinearSVC()), asked(TABLE)), FORMATS)
    (answer,) = loaded.answer([ROW], top=2)
    assert (answer.prediction in ("a", "b"), answer.confidence, answer.probabilities) == (True, None, None)
    assert len(answer.top_features) == 2


def test_a_number_is_answered_as_a_number(tmp_path):
    model = Pipeline([("columns", columns()), ("end", Ridge())]).fit(FRAME, FRAME["age"].fillna(0))
    loaded = open_model(placed(tmp_path / "v", model, asked(TABLE, (), task="regression")), FORMATS)
    answers = loaded.answer(as_rows(FRAME.head(9)), top=1)
    assert [answer.prediction for answer in answers] == pytest.approx(model.predict(FRAME.head(9)).tolist())
    assert {(answer.confidence, answer.probabilities) for answer in answers} == {(None, None)}
    assert answers[0].top_features


def test_a_boosting_answers_from_arrays_and_names_no_features(tmp_path):
    model = fitted(HistGradientBoostingClassifier(max_iter=20))
    loaded = open_model(placed(tmp_path / "v", model, asked(TABLE, example=ROW)), FORMATS)
    assert isinstance(loaded._short, Dense)
    answers = loaded.answer(as_rows(FRAME.head(50)), top=5)
    assert [answer.probabilities["b"] for answer in answers] == model.predict_proba(FRAME.head(50))[:, 1].tolist()
    assert {answer.top_features for answer in answers} == {()}


def test_a_forest_takes_no_threads_and_time_off_the_event_loop(tmp_path):
    loaded = open_model(placed(tmp_path / "v", fitted(RandomForestClassifier(100, n_jobs=2)), asked(TABLE, example=ROW)), FORMATS)
    assert loaded._model.estimator[-1].n_jobs == 1
    assert not loaded.quick


def test_what_cannot_be_compiled_takes_the_plain_way_and_says_why(tmp_path):
    plain = Pipeline([("columns", columns()), ("root", FunctionTransformer(np.cbrt)), ("end", LogisticRegression())])
    model = plain.fit(FRAME, outcome(FRAME, 2))
    formats = [SkopsModels((*TYPES, "numpy.cbrt"))]
    version = placed(tmp_path / "v", fitted(LogisticRegression()), asked(TABLE))
    (tmp_path / "v/model/model.skops").unlink()
    stored = formats[0].store(model, tmp_path / "v/model")
    loaded = open_model(Placed(model="demo", version="7", folder=version.folder, content_hash=stored.content_hash), formats)
    assert "FunctionTransformer" in loaded.plain
    answers = loaded.answer(as_rows(FRAME.head(30)))
    assert [answer.probabilities["b"] for answer in answers] == pytest.approx(model.predict_proba(FRAME.head(30))[:, 1].tolist())


def test_a_short_way_that_says_something_else_is_not_taken(tmp_path, monkeypatch):
    real = serving_model.compiled

    def bent(model, types):
        short = real(model, types)
        short._intercepts[0] += 1e-6
        return short

    monkeypatch.setattr(serving_model, "compiled", bent)
    model = fitted(LogisticRegression())
    loaded = open_model(placed(tmp_path / "v", model, asked(TABLE)), FORMATS)
    assert "it said something else" in loaded.plain
    assert loaded.answer([ROW])[0].probabilities["b"] == pytest.approx(model.predict_proba(pd.DataFrame([ROW]))[0, 1], abs=1e-12)


def test_both_ways_agree_on_rows_in_every_form_that_a_request_may_have(tmp_path):
    loaded = open_model(placed(tmp_path / "v", fitted(LogisticRegression()), asked(TABLE)), FORMATS)
    short, loaded_rows = loaded._short, [ROW, ROW | {"colour": " red "}, dict.fromkeys(TABLE), ROW | {"count": 2**62, "flag": None}]
    said = loaded.answer(loaded_rows)
    loaded._short = None
    for one, other in zip(said, loaded.answer(loaded_rows), strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-9)
    assert short is not None


# ------------------------------------------------------------------------------------------------- the project's own features


FEATURES = """
def prepare(frame):
    frame = frame[frame["count"] < 1000].copy()
    frame["hour"] = frame["at"].dt.hour
    frame["high"] = frame["age"] > 1e6
    return frame.drop(columns=["age"])
"""
RAW = TABLE | {"at": "datetime"}
MADE = ("count", "flag", "colour", "city", "hour", "high")
REQUEST = ROW | {"at": datetime(2026, 3, 1, 17, 30)}  # noqa: DTZ001 - as requests are read: UTC


def prepared_version(folder, code=FEATURES, **more):
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = FRAME.fillna({"count": 0.0, "flag": 0.0, "colour": "red", "city": "Ulm"})
    frame = frame.assign(hour=np.arange(len(FRAME)) % 24.0, high=(frame["age"] > 1e6).astype(float))[list(MADE)]
    front = ColumnTransformer(
        [
            ("n", StandardScaler(), ["count", "flag", "hour", "high"]),
            ("c", OneHotEncoder(handle_unknown="ignore"), ["colour", "city"]),
        ]
    )
    model = Pipeline([("columns", front), ("end", LogisticRegression())]).fit(frame, outcome(FRAME, 2))
    stored = json.dumps({"columns": list(MADE), "data": frame.head(5).to_numpy().tolist()})
    inputs = asked(
        RAW, features=MADE, hidden=("at",), prepare="features:prepare", example=ROW | {"at": "2026-03-01T12:00:00"}, **more
    )
    return model, frame, placed(folder, model, inputs, code, **{"model/input_example.json": stored})


def test_rows_go_through_the_versions_own_prepare(tmp_path):
    model, _, version = prepared_version(tmp_path / "v")
    loaded = open_model(version, FORMATS)
    assert (loaded.plain, loaded.quick, loaded.together) == ("", False, False)
    made = pd.DataFrame([{"count": 4.0, "flag": 1.0, "colour": "red", "city": "Ulm", "hour": 17.0, "high": 1.0}])
    first, second = loaded.answer([REQUEST, REQUEST | {"at": REQUEST["at"].replace(hour=2)}], top=9)
    assert first.probabilities["b"] == pytest.approx(model.predict_proba(made)[0, 1])
    assert second.probabilities["b"] == pytest.approx(model.predict_proba(made.assign(hour=2.0))[0, 1])
    assert {each.feature for each in first.top_features} <= set(MADE)
    loaded._short = None
    assert loaded.answer([REQUEST])[0].probabilities == pytest.approx(first.probabilities)


def test_two_versions_keep_their_own_code(tmp_path):
    _, _, one = prepared_version(tmp_path / "one")
    model, _, two = prepared_version(tmp_path / "two", FEATURES.replace(".dt.hour", ".dt.hour * 0 + 5"))
    first, second = open_model(one, FORMATS), open_model(two, FORMATS)
    assert first.answer([REQUEST])[0].probabilities != second.answer([REQUEST])[0].probabilities
    made = pd.DataFrame([{"count": 4.0, "flag": 1.0, "colour": "red", "city": "Ulm", "hour": 5.0, "high": 1.0}])
    assert second.answer([REQUEST])[0].probabilities["b"] == pytest.approx(model.predict_proba(made)[0, 1])


def test_code_in_a_package_is_found_too(tmp_path):
    _, _, version = prepared_version(tmp_path / "v")
    code = tmp_path / "v/code"
    (code / "features.py").rename(code / "ways.of.preparing.py")
    (code / "ways.of.preparing.py").write_text(
        "from ways.of.hours import hour\n" + FEATURES.replace('frame["at"].dt.hour', "hour(frame)")
    )
    (code / "ways.of.hours.py").write_text('def hour(frame):\n    return frame["at"].dt.hour\n')
    stored = tmp_path / "v/serving/inputs.json"
    stored.write_text(stored.read_text().replace("features:prepare", "ways.of.preparing:prepare"))
    assert open_model(version, FORMATS).answer([REQUEST])[0].prediction in ("a", "b")


def test_a_row_that_prepare_leaves_out_is_refused(tmp_path):
    loaded = open_model(prepared_version(tmp_path / "v")[2], FORMATS)
    with pytest.raises(DataError, match="prepare leaves this row out"):
        loaded.answer([REQUEST | {"count": 5000}])


def test_a_prepare_that_fails_says_where(tmp_path):
    _, _, version = prepared_version(
        tmp_path / "v", FEATURES.replace("return", "frame['city'].map({'Ulm': 1}).astype(int)\n    return")
    )
    loaded = open_model(version, FORMATS)
    with pytest.raises(UserCodeError, match=r"features:prepare failed in features\.py, line"):
        loaded.answer([REQUEST | {"city": "Bath"}])


# ----------------------------------------------------------------------------------------------------------------- refused


def test_a_version_from_elsewhere_is_asked_by_its_signature(tmp_path):
    names = {"age": "double", "count": "long", "flag": "boolean", "colour": "string", "city": "string"}
    signature = [{"name": name, "type": kind, "required": True} for name, kind in names.items()]
    mlmodel = yaml.safe_dump({"signature": {"inputs": json.dumps(signature), "outputs": "[]"}})
    example = json.dumps({"columns": list(ROW), "data": [list(ROW.values())]})
    model = fitted(LogisticRegression())
    version = placed(tmp_path / "v", model, **{"model/MLmodel": mlmodel, "model/input_example.json": example})
    loaded = open_model(version, FORMATS)
    assert loaded.plain == ""
    assert loaded.inputs.classes == ("a", "b")
    assert loaded.answer([ROW])[0].probabilities["b"] == pytest.approx(model.predict_proba(pd.DataFrame([ROW]))[0, 1])


def test_several_rows_for_one_prediction_are_not_served(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.unit = 'patient'"):
        open_model(placed(tmp_path / "v", fitted(LogisticRegression()), asked(TABLE, unit="patient")), FORMATS)


def test_a_changed_file_is_refused(tmp_path):
    version = placed(tmp_path / "v", fitted(LogisticRegression()), asked(TABLE))
    FORMATS[0].store(fitted(LinearSVC()), tmp_path / "v/model")
    with pytest.raises(ModelRefused, match="not the file that was registered"):
        open_model(version, FORMATS)


@pytest.mark.parametrize("path", ["serving/inputs.json", "code/features.py", "code/numpy/__init__.py"])
def test_files_beside_the_model_that_were_changed_since_are_refused(tmp_path, path):
    _, _, version = prepared_version(tmp_path / "v")
    registered = replace(version, served=hash_of_served(tmp_path / "v"))
    open_model(registered, FORMATS)
    open_model(registered, FORMATS)  # opening it has changed nothing
    changed = tmp_path / "v" / path
    changed.parent.mkdir(exist_ok=True)
    changed.write_text((changed.read_text() if changed.exists() else "") + "\n")
    with pytest.raises(ModelRefused, match="not what was registered"):
        open_model(registered, FORMATS)
    open_model(version, FORMATS)  # an older one, of which the registry knows no more


def test_code_with_another_fingerprint_than_the_registrys_is_refused(tmp_path):
    _, _, version = prepared_version(tmp_path / "v")
    with pytest.raises(ModelRefused, match="not what the version was registered with"):
        open_model(replace(version, code="0" * 16), FORMATS)


def test_a_version_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelRefused, match="demo version 3 is stored in no format"):
        open_model(Placed(model="demo", version="3", folder=str(tmp_path)), FORMATS)


def test_other_classes_than_described_are_refused(tmp_path):
    version = placed(tmp_path / "v", fitted(LogisticRegression()), asked(TABLE, ("x", "y"), example=ROW))
    with pytest.raises(ModelRefused, match="knows the classes"):
        open_model(version, FORMATS)


def test_a_version_that_cannot_answer_its_example_is_refused(tmp_path):
    missing = {name: kind for name, kind in TABLE.items() if name != "age"}
    version = placed(tmp_path / "v", fitted(LogisticRegression()), asked(missing, example={**ROW}))
    with pytest.raises(ModelRefused, match=r"cannot answer its own example: .*age"):
        open_model(version, FORMATS)


def test_opening_loads_neither_mlflow_nor_polars(tmp_path):
    version = placed(tmp_path / "v", SPAM, asked(MESSAGE, ("ham", "other", "spam"), example={"message": "hello"}))
    probe = f"""
import sys
from keepfit.adapters.skops_models import SkopsModels
from keepfit.serving.model import open_model
from keepfit.serving.plan import Placed
from keepfit.steps import TYPES
loaded = open_model(Placed(model="demo", version="7", folder={version.folder!r}), [SkopsModels(TYPES)])
assert loaded.plain == "", loaded.plain
assert loaded.answer([{{"message": "free cash"}}], 3)[0].prediction == "spam"
print(sorted({{"mlflow", "polars", "fastapi", "sqlalchemy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
