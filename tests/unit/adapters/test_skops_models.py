"""Models without pickle: what is stored is the same every time, what is loaded runs nothing."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from keepfit.adapters.skops_models import SkopsModels
from keepfit.adapters.skops_models.canonical import canonical
from keepfit.errors import DataError, ModelRefused, NotFound

NUMBERS = pd.DataFrame(np.random.default_rng(3).normal(size=(80, 3)), columns=["a", "b", "c"])
LABELS = np.where(NUMBERS["a"] + NUMBERS["b"] > 0, "yes", "no")


def stored(model: Any, folder: Path, *trusted: str) -> bytes:
    assert SkopsModels(trusted).store(model, folder) is not None
    return (folder / "model.skops").read_bytes()


def load(folder: Path, data: bytes, *trusted: str) -> Any:
    (folder / "model.skops").write_bytes(data)
    return SkopsModels(trusted).load(folder, None)


# ----------------------------------------------------------------------------------------------------------- predictions


def test_classes_are_text_and_come_with_probabilities_where_the_model_has_them(tmp_path: Path) -> None:
    model = LogisticRegression().fit(NUMBERS, LABELS == "yes")
    predictions = load(tmp_path, stored(model, tmp_path)).predict(NUMBERS)
    assert predictions.classes == ("False", "True")
    assert set(predictions.values) == {"False", "True"}
    assert np.allclose(predictions.probabilities, model.predict_proba(NUMBERS))
    bare = load(tmp_path, stored(LinearSVC().fit(NUMBERS, LABELS), tmp_path)).predict(NUMBERS)
    assert bare.probabilities is None
    assert bare.classes == ("no", "yes")


def test_columns_are_taken_by_name(tmp_path: Path) -> None:
    model = LogisticRegression().fit(NUMBERS, LABELS)
    loaded = load(tmp_path, stored(model, tmp_path))
    shuffled = NUMBERS[["c", "a", "b"]].assign(more=1)
    assert list(loaded.predict(shuffled).values) == list(model.predict(NUMBERS))
    with pytest.raises(DataError, match="b, c"):
        loaded.predict(NUMBERS[["a"]])


def test_other_kinds_of_models_are_left_to_other_formats(tmp_path: Path) -> None:
    assert SkopsModels().store({"a": "dictionary"}, tmp_path) is None
    assert SkopsModels().load(tmp_path, None) is None


# ------------------------------------------------------------------------------------------------------------- same bytes

FITS = """
import sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
import lightgbm, numpy as np, pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (GradientBoostingClassifier, HistGradientBoostingClassifier, HistGradientBoostingRegressor,
    RandomForestClassifier)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from keepfit.adapters.lightgbm_models import LightgbmModels
from keepfit.adapters.skops_models import SkopsModels

generator, n = np.random.default_rng(0), 200
frame = pd.DataFrame({"x": generator.normal(size=n), "c": generator.choice(["u", "v"], n)})
frame["t"] = generator.choice(["win now", "hi"], n)
frame.loc[::9, "x"] = np.nan
label, number = np.where(generator.random(n) < 0.4, "spam", "ham"), generator.normal(size=n)

def piped(model):
    columns = ColumnTransformer([
        ("x", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["x"]),
        ("c", OneHotEncoder(handle_unknown="ignore"), ["c"]),
        ("t", TfidfVectorizer(stop_words=["you", "me", "now"]), "t"),
    ], sparse_threshold=0)
    return make_pipeline(columns, model)

models = [
    piped(LogisticRegression()).fit(frame, label),
    piped(RandomForestClassifier(20, n_jobs=2, random_state=0)).fit(frame, label),
    piped(HistGradientBoostingClassifier(max_iter=10, random_state=0)).fit(frame, label),
    piped(HistGradientBoostingRegressor(max_iter=10, random_state=0)).fit(frame, number),
    piped(GradientBoostingClassifier(n_estimators=10, random_state=0)).fit(frame, label),
    piped(LinearSVC(random_state=0)).fit(frame, label),
    make_pipeline(ColumnTransformer([("t", TfidfVectorizer(), "t")]), MultinomialNB()).fit(frame, label),
    piped(Ridge()).fit(frame, number),
    piped(LinearRegression()).fit(frame, number),
    piped(CalibratedClassifierCV(LinearSVC(random_state=0))).fit(frame, label),
    piped(lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, random_state=0, n_jobs=2)).fit(frame, label),
    lightgbm.train({"verbose": -1, "seed": 0, "num_threads": 2}, lightgbm.Dataset(frame[["x"]], number), 5),
]
models[0].words_ = {"buy", "now", "win", "money", "free", "prize"}
trusted = ["lightgbm.sklearn.LGBMClassifier", "lightgbm.basic.Booster", "collections.OrderedDict"]
formats = [LightgbmModels(), SkopsModels(trusted)]
place = Path(sys.argv[1])
for model in models:
    found = [stored for kind in formats if (stored := kind.store(model, place))]
    same = [loaded for kind in formats if (loaded := kind.load(place, found[0].content_hash))][0].predict(frame)
    assert len(found) == 1
    expected = model.predict(frame[["x"]] if isinstance(model, lightgbm.Booster) else frame)
    assert (same.values == expected).all() or np.allclose(same.values.astype(float), expected)
    print(found[0].content_hash)
    for file in place.iterdir(): file.unlink()
"""


def test_equal_fits_in_different_processes_are_equal_bytes(tmp_path: Path) -> None:
    processes = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        # another order of sets, and other rubbish in fresh memory
        environment = os.environ | {"PYTHONHASHSEED": seed, "MALLOC_PERTURB_": f"{int(seed) * 40}"}
        command = [sys.executable, "-c", FITS, str(folder)]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    (one, first_error), (two, second_error) = [process.communicate(timeout=200) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], first_error + second_error
    assert one.splitlines() == two.splitlines()
    assert len(set(one.splitlines())) == 12


def test_the_canonical_file_is_a_skops_file_that_stays_as_it_is(tmp_path: Path) -> None:
    model = make_pipeline(TfidfVectorizer(stop_words=["a", "the"]), MultinomialNB()).fit(
        ["one a", "two b", "the three"], list("xyx")
    )
    data = stored(model, tmp_path)
    assert canonical(data) == data
    assert list(skops.io.loads(data).predict(["two"])) == list(model.predict(["two"]))
    assert {entry.date_time for entry in zipfile.ZipFile(io.BytesIO(data)).infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_what_lies_in_memory_between_the_fields_of_records_is_not_stored(tmp_path: Path) -> None:
    dtype = np.dtype([("small", "u1"), ("large", "f8")], align=True)
    model = LogisticRegression().fit(NUMBERS, LABELS)
    found = []
    for rubbish in (b"\x01", b"\x02"):
        model.records_ = np.frombuffer(rubbish * 2 * dtype.itemsize, dtype).copy()
        model.records_["small"], model.records_["large"] = 3, 0.5
        found.append(stored(model, tmp_path))
    assert found[0] == found[1]
    assert load(tmp_path, found[0]).estimator.records_.tolist() == [(3, 0.5), (3, 0.5)]


def test_what_was_one_object_is_one_object_again(tmp_path: Path) -> None:
    shared = np.arange(3.0)
    model = LogisticRegression().fit(NUMBERS, LABELS)
    model.one_, model.other_, model.equal_ = shared, shared, np.arange(3.0)
    estimator = load(tmp_path, stored(model, tmp_path)).estimator
    assert estimator.one_ is estimator.other_
    assert estimator.equal_ is not estimator.one_
    assert list(estimator.equal_) == [0, 1, 2]


def test_other_bytes_than_the_registered_ones_are_refused(tmp_path: Path) -> None:
    SkopsModels().store(LogisticRegression().fit(NUMBERS, LABELS), tmp_path)
    with pytest.raises(ModelRefused, match="sha256"):
        SkopsModels().load(tmp_path, "0" * 64)


# ------------------------------------------------------------------------------------------------------------------ trust


class Guess(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    def fit(self, frame: Any, labels: Any) -> Guess:
        self.classes_ = np.unique(labels)
        return self

    def predict(self, frame: Any) -> Any:
        return np.repeat(self.classes_[:1], len(frame))


GUESS = f"{Guess.__module__}.Guess"


def test_a_type_of_ones_own_is_trusted_by_name_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, Guess.__module__, sys.modules[Guess.__module__])
    model = Guess().fit(NUMBERS, LABELS)
    with pytest.raises(ModelRefused, match=r"trusted_types = \[\"" + GUESS.replace(".", r"\.")):
        SkopsModels().store(model, tmp_path)
    assert not list(tmp_path.iterdir())
    data = stored(model, tmp_path, GUESS)
    assert set(load(tmp_path, data, GUESS).predict(NUMBERS).values) == {"no"}
    with pytest.raises(ModelRefused, match="nobody has trusted"):
        load(tmp_path, data)


def test_a_function_without_a_name_cannot_be_stored(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(lambda frame: frame), LogisticRegression()).fit(NUMBERS, LABELS)
    with pytest.raises(ModelRefused):
        SkopsModels(["builtins.function"]).store(model, tmp_path)


def json_node(value: Any) -> dict[str, Any]:
    return {
        "__class__": "str",
        "__module__": "builtins",
        "__loader__": "JsonNode",
        "content": json.dumps(value),
        "is_json": True,
    }


def sequence(kind: str, *content: Any) -> dict[str, Any]:
    return {"__class__": kind, "__module__": "builtins", "__loader__": f"{kind.title()}Node", "content": list(content)}


def mapping(**content: Any) -> dict[str, Any]:
    keys = sequence("list", *({"__class__": "str", "__module__": "builtins", "__loader__": "TypeNode"} for _ in content))
    return {"__class__": "dict", "__module__": "builtins", "__loader__": "DictNode", "content": content, "key_types": keys}


def named(module: str, name: str, loader: str, **more: Any) -> dict[str, Any]:
    return {"__class__": name, "__module__": module, "__loader__": loader, **more}


def archive(schema: Any, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("schema.json", json.dumps(schema))
        for name, data in members.items():
            made.writestr(name.replace("_", "."), data)
    return buffer.getvalue()


def hostile(command: str) -> dict[str, dict[str, Any]]:
    argument = sequence("tuple", json_node(command))
    system = named("os", "system", "FunctionNode")
    partial = {"func": system, "args": argument, "kwds": mapping(), "namespace": mapping()}
    return {
        "called as a constructor": named("os", "system", "ConstructorFromReduceNode", content=argument),
        "called as a loss": named("os", "system", "LossNode", __reduce__={"args": argument}, content=mapping()),
        "called as a list": named("os", "system", "ListNode", content=[json_node(command)]),
        "named as a function": system,
        "named as a type": named("os", "system", "TypeNode"),
        "made an object": named("subprocess", "Popen", "ObjectNode", content=mapping(args=json_node(command))),
        "hidden in a partial": named("functools", "partial", "PartialNode", content=partial),
        "hidden in an estimator": named(
            "sklearn.preprocessing._function_transformer", "FunctionTransformer", "ObjectNode", content=mapping(func=system)
        ),
        "called by an operator": named("operator", "methodcaller", "OperatorFuncNode", attrs=argument),
        "imported": named("antigravity", "anything", "TypeNode"),
    }


@pytest.mark.parametrize("way", list(hostile("")))
@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_a_hostile_skops_file_runs_nothing(tmp_path: Path, way: str, protocol: int) -> None:
    marker = tmp_path / "marker"
    schema = hostile(f"touch '{marker}'")[way] | {"protocol": protocol, "_skops_version": "0.16.0"}
    with pytest.raises(ModelRefused):
        load(tmp_path, archive(schema))
    assert not marker.exists()
    assert "antigravity" not in sys.modules


class Touch:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.marker}'",)


def test_a_pickle_by_the_name_of_a_skops_file_is_not_opened(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    evil = pickle.dumps(Touch(marker))
    array = named("numpy", "ndarray", "NdArrayNode", type="numpy", file="a.npy") | {"protocol": 2}
    header = (
        b"\x93NUMPY\x01\x00"
        + (118).to_bytes(2, "little")
        + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117)
        + b"\n"
    )
    for data in (evil, archive(array, a_npy=header + evil), archive(array, a_npy=evil)):
        with pytest.raises(ModelRefused):
            load(tmp_path, data)
    assert not marker.exists()


def bomb(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(name, bytes(100_000_000))
    return buffer.getvalue()


NESTED = "[" * 200_000
SHAPES = {
    "nothing": b"",
    "noise": bytes(range(256)) * 40,
    "a bomb": bomb("schema.json"),
    "a bomb in a matrix": archive({}, m_npz=bomb("data.npy")),
    "an empty archive": archive({})[:-30],
    "an empty schema": archive({}),
    "a list": archive([1, 2]),
    "no class": archive({"__loader__": "ObjectNode", "protocol": 2}),
    "a loader that is not known": archive(named("a", "b", "NoNode", protocol=2)),
    "a later protocol": archive(named("a", "b", "ObjectNode", protocol=99)),
    "a file that is not there": archive(named("numpy", "ndarray", "NdArrayNode", type="numpy", file="x.npy", protocol=2)),
    "an endless array": archive(
        named("numpy", "ndarray", "NdArrayNode", type="numpy", file="a.npy", protocol=2),
        a_npy=b"\x93NUMPY\x01\x00"
        + (118).to_bytes(2, "little")
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }".ljust(117) % 10**15
        + b"\n",
    ),
}


@pytest.mark.parametrize("kind", list(SHAPES))
def test_damaged_files_are_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ModelRefused, match="unpacks" if "bomb" in kind else None):
        load(tmp_path, SHAPES[kind])


def test_deeply_nested_and_truncated_files_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("schema.json", '{"a":' + NESTED + "]" * len(NESTED) + "}")
    with pytest.raises(ModelRefused):
        load(tmp_path, buffer.getvalue())
    whole = stored(LogisticRegression().fit(NUMBERS, LABELS), tmp_path)
    for share in (0.1, 0.5, 0.9, 0.99):
        with pytest.raises(ModelRefused):
            load(tmp_path, whole[: int(len(whole) * share)])


@pytest.mark.parametrize(
    "field, value", [("left_child", 10**9), ("right_child", -7), ("left_child", 0), ("feature", 3), ("feature", -2)]
)
def test_a_tree_that_points_outside_of_itself_is_refused(tmp_path: Path, field: str, value: int) -> None:
    forest = RandomForestClassifier(3, random_state=0).fit(NUMBERS, LABELS)
    load(tmp_path, tampered(stored(forest, tmp_path), "left_child", field, None))
    with pytest.raises(ModelRefused, match="tree"):
        load(tmp_path, tampered(stored(forest, tmp_path), "left_child", field, value))


@pytest.mark.parametrize("field, value", [("left", 10**9), ("right", 0), ("feature_idx", 3), ("feature_idx", -1)])
def test_a_boosted_tree_that_points_outside_of_itself_is_refused(tmp_path: Path, field: str, value: int) -> None:
    model = HistGradientBoostingClassifier(max_iter=3, random_state=0).fit(NUMBERS, LABELS)
    load(tmp_path, tampered(stored(model, tmp_path), "feature_idx", field, None))
    with pytest.raises(ModelRefused, match="tree"):
        load(tmp_path, tampered(stored(model, tmp_path), "feature_idx", field, value))


def tampered(data: bytes, mark: str, field: str, value: int | None) -> bytes:
    """The file with one field of the root of its last tree changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        arrays = {name: np.load(io.BytesIO(old.read(name))) for name in old.namelist() if name.endswith(".npy")}
        last = [name for name, array in arrays.items() if mark in (array.dtype.names or ())][-1]
        for name in old.namelist():
            content = old.read(name)
            if name == last and value is not None:
                arrays[name][field][0] = value
                changed = io.BytesIO()
                np.save(changed, arrays[name])
                content = changed.getvalue()
            new.writestr(name, content)
    return buffer.getvalue()


def test_a_file_from_anywhere_is_read_under_the_same_rules(tmp_path: Path) -> None:
    skops.io.dump(LogisticRegression().fit(NUMBERS, LABELS), tmp_path / "mine.skops")
    assert list(SkopsModels().read(tmp_path / "mine.skops").classes_) == ["no", "yes"]
    (tmp_path / "evil.skops").write_bytes(archive(hostile("true")["called as a constructor"] | {"protocol": 2}))
    with pytest.raises(ModelRefused, match=r"os\.system"):
        SkopsModels().read(tmp_path / "evil.skops")
    with pytest.raises(NotFound):
        SkopsModels().read(tmp_path / "none.skops")


def test_a_vocabulary_is_one_piece_of_the_file_and_comes_back_as_it_was(tmp_path: Path) -> None:
    texts = [f"word{number} café\u2028 shared" for number in range(300)]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [number % 2 for number in range(300)])
    kept = SkopsModels().store(model, tmp_path)
    opened: Any = SkopsModels().load(tmp_path, kept.content_hash if kept else None)
    loaded = opened.estimator
    assert list(loaded[0].vocabulary_.items()) == list(model[0].vocabulary_.items())
    assert {type(place) for place in loaded[0].vocabulary_.values()} == {int}
    assert loaded.predict_proba(texts).tolist() == model.predict_proba(texts).tolist()
    with zipfile.ZipFile(tmp_path / "model.skops") as archive:
        assert len(archive.read("schema.json")) < 20_000, "with a record for every term it has 60,000 bytes"
