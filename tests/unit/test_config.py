"""Settings: which source wins, what a wrong value is told, and that the tree documents itself and keeps secrets."""

from __future__ import annotations

import functools
import json
import re
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from keepfit.config import ECOSYSTEM, FILE_NAME, Config, json_schema, load
from keepfit.errors import ConfigError, ProjectNotFound
from keepfit.settings import Duration, Section
from keepfit.templates import NAMES as TEMPLATES

LEAST = '[project]\nname = "demo"\ntask = "classification"\n[data]\ntarget = "y"\n'


def write(folder: Path, text: str | bytes = LEAST) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE_NAME
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def of(**sections: Any) -> Config:
    return Config.of({"project": {"name": "demo", "task": "classification"}, "data": {"target": "y"}} | sections)


def complaint(folder: Path, text: str, environment: dict[str, str] | None = None, **flags: Any) -> str:
    """What a person is told about a wrong keepfit.toml."""
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text), {key.replace("__", "."): value for key, value in flags.items()}, environment or {})
    assert caught.value.exit_code == 2
    return str(caught.value)


# ---------------------------------------------------------------------------------------------------------- precedence


@pytest.mark.parametrize(
    ("in_file", "in_environment", "as_flag", "value", "source"),
    [
        (None, None, None, "superior", "default"),
        ("greater", None, None, "greater", "keepfit.toml"),
        (None, "min_gain", None, "min_gain", "environment KEEPFIT_PROMOTE__GATE"),
        ("greater", "min_gain", None, "min_gain", "environment KEEPFIT_PROMOTE__GATE"),
        ("greater", "min_gain", "non_inferior", "non_inferior", "flag"),
        (None, None, "non_inferior", "non_inferior", "flag"),
        ("greater", None, "non_inferior", "non_inferior", "flag"),
    ],
)
def test_the_strongest_source_wins_and_is_named(tmp_path, in_file, in_environment, as_flag, value, source) -> None:
    write(tmp_path, LEAST + (f'[promote]\ngate = "{in_file}"\n' if in_file else ""))
    environment = {"KEEPFIT_PROMOTE__GATE": in_environment} if in_environment else {}
    config = load(tmp_path, {"promote.gate": as_flag}, environment)
    assert (config.promote.gate, config.source("promote.gate")) == (value, source)
    assert ("promote.gate", value, source) in config.rows()


def test_every_row_names_its_source(tmp_path) -> None:
    sources = {key: source for key, _, source in load(write(tmp_path), {"train.seed": 3}, {"KEEPFIT_DATA__ID": "i"}).rows()}
    assert sources["project.name"] == sources["data.target"] == "keepfit.toml"
    assert (sources["train.seed"], sources["data.id"]) == ("flag", "environment KEEPFIT_DATA__ID")
    assert sources["promote.alpha"] == sources["validate.min_quality"] == "default"


@pytest.mark.parametrize(("name", "key"), ECOSYSTEM.items())
def test_names_that_other_tools_use_are_understood_and_keepfits_own_are_stronger(tmp_path, name, key) -> None:
    texts = {"ENABLE_CD_TRIGGER": ("false", "0"), "MLFLOW_TRACKING_URI": ("http://theirs", "http://mine")}
    theirs, mine = texts.get(name, ("theirs", "mine"))
    config = load(write(tmp_path), environment={name: theirs})
    assert functools.reduce(getattr, key.split("."), config) == (False if theirs == "false" else theirs)
    assert config.source(key) == f"environment {name}"
    own = f"KEEPFIT_{key.upper().replace('.', '__')}"
    assert load(tmp_path, environment={name: theirs, own: mine}).source(key) == f"environment {own}"


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("RETRAIN__FLOOR", "0.75", lambda config: config.retrain.floor == 0.75),
        ("RETRAIN__COOLDOWN", "12h", lambda config: config.retrain.cooldown == timedelta(hours=12)),
        ("RETRAIN__WINDOWS", "[3, 6]", lambda config: config.retrain.windows == (3, 6)),
        ("RETRAIN__TRIGGERS", '["age"]', lambda config: config.retrain.triggers == ("age",)),
        ("RETRAIN__BUDGET__TRAININGS", "3", lambda config: config.retrain.budget.trainings == 3),
        ("DATA__KEEP", '["a", "b"]', lambda config: config.data.keep == ("a", "b")),
        ("DATA__HEADER", '["a", "b"]', lambda config: config.data.header == ("a", "b")),
        ("DATA__RENAME", '{ a = "b" }', lambda config: config.data.rename == {"a": "b"}),
        ("DATA__LABELS", '{ "1" = "yes" }', lambda config: config.data.labels == {"1": "yes"}),
        ("TRACKING__TRUSTED_TYPES", '["mine.Model"]', lambda config: config.tracking.trusted_types == ("mine.Model",)),
        ("PROMOTE__SLICES__COLUMNS", '["region"]', lambda config: config.promote.slices.columns == ("region",)),
        ("PROJECT__NAME", "123", lambda config: config.project.name == "123"),
        ("DATA__ID", "true", lambda config: config.data.id == "true"),
        ("TRAIN__GREATER_IS_BETTER", "false", lambda config: config.train.greater_is_better is False),
        ("VALIDATE__MIN_QUALITY", "80", lambda config: config.validation.min_quality == 80),
    ],
)
def test_every_kind_of_setting_can_come_from_the_environment(tmp_path, name, text, found) -> None:
    assert found(load(write(tmp_path), environment={f"KEEPFIT_{name}": text}))


def test_a_variable_cannot_turn_a_value_into_a_section(tmp_path) -> None:
    told = complaint(tmp_path, LEAST, {"KEEPFIT_PROJECT__NAME__X": "1"})
    assert "KEEPFIT_PROJECT__NAME__X" in told
    assert "not a section" in told


# -------------------------------------------------------------------------------------------------------- wrong values


def test_every_wrong_value_is_named_with_what_was_expected_what_was_found_and_where_it_was_set(tmp_path) -> None:
    text = LEAST + '[retrain]\nwindow = "last 0"\ncooldown = "3 fortnights"\n[promote]\nalpha = 0.9\n'
    told = complaint(tmp_path, text, {"KEEPFIT_TRAIN__FOLDS": "1"}, train__seed=-1)
    assert str(tmp_path / FILE_NAME) in told.splitlines()[0]
    lines = {line.split(":")[0].split(" (")[0].strip(): line for line in told.splitlines()[1:]}
    assert set(lines) == {"retrain.window", "retrain.cooldown", "promote.alpha", "train.folds", "train.seed"}
    assert "found 'last 0'" in lines["retrain.window"]
    assert "expected a duration such as" in lines["retrain.cooldown"]
    assert "less than 0.5" in lines["promote.alpha"]
    assert "found 0.9" in lines["promote.alpha"]
    assert "(from environment KEEPFIT_TRAIN__FOLDS)" in lines["train.folds"]
    assert "(from flag)" in lines["train.seed"]


@pytest.mark.parametrize(
    ("text", "wrong", "near"),
    [
        ("[promote]\ngaet = 'greater'", "promote.gaet", "gate"),
        ("[retrian]\nfloor = 1", "retrian", "retrain"),
        ("[validation]\nmin_quality = 1", "validation", "validate"),
        ("[data.holdout]\nshaer = 0.1", "data.holdout.shaer", "share"),
        ("[data.columns.age]\ntype = 'number'\nminimun = 3", "data.columns.age.minimun", "minimum"),
        ("[[train.candidates]]\nestimater = 'a.B'", "train.candidates.0.estimater", "estimator"),
        ("[promote.slices]\ncolums = ['a']", "promote.slices.colums", "columns"),
    ],
)
def test_an_unknown_setting_is_an_error_that_names_the_near_one(tmp_path, text, wrong, near) -> None:
    told = complaint(tmp_path, LEAST + text)
    assert f"{wrong}: there is no such setting; did you mean {near}?" in told


def test_an_unknown_setting_with_no_near_one_lists_the_known(tmp_path) -> None:
    told = complaint(tmp_path, LEAST + "[monitor]\nqqqq = 1")
    assert "known are drift, slices, estimate, min_labels, level" in told


def test_what_is_missing_is_named(tmp_path) -> None:
    told = complaint(tmp_path, '[project]\nname = "a"\n')
    assert "project.task: is missing" in told
    assert "data: is missing" in told


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[data.columns.age]\ntype = 'nmber'", "data.columns.age.type"),
        ("[data.columns.age]\ntype = 'text'\npattern = '('", "not a regular expression"),
        ("[data.columns.age]\ntype = 'number'\nminimum = 3\nmaximum = 2", "minimum is larger than maximum"),
        ("[[train.candidates]]\nname = 'x'", "either estimator or build"),
        ("[[train.candidates]]\nestimator = 'a.B'\nbuild = 'a:b'", "either estimator or build"),
        ("[[train.candidates]]\nestimator = 'os; rm'", "train.candidates.0.estimator"),
        ("[train]\nfunction = 'features.py'", "train.function"),
        ("[validate]\nmin_quality = nan", "validate.min_quality"),
        ("[retrain]\nfloor = inf", "retrain.floor"),
        ("[data.holdout]\nshare = 1", "data.holdout.share"),
        ("[promote]\nalias = '../x'", "promote.alias"),
        ("[promote.slices]\ncolumns = []", "promote.slices.columns"),
        ("[engine]\nworkers = '2 of them'", "engine.workers"),
    ],
)
def test_values_that_make_no_sense_are_refused(tmp_path, text, named) -> None:
    assert named in complaint(tmp_path, LEAST + text)


def test_a_value_that_is_refused_is_shown_without_its_password(tmp_path) -> None:
    told = complaint(tmp_path, LEAST + "[engine]\nurl = 'dusk://me:secret@cluster:8786'")
    assert "engine.url" in told
    assert "secret" not in told


@pytest.mark.parametrize(
    "folders",
    [
        {"archive": "data/inbox"},
        {"archive": "data/inbox/old"},
        {"inbox": "data"},
        {"quarantine": "./data/archive/"},
        {"quarantine": "data/archive/../inbox/bad"},
        {"inbox": ""},
    ],
)
def test_folders_that_lie_in_one_another_are_refused(tmp_path, folders) -> None:
    """Archived files would be seen as new ones, duplicates of themselves."""
    lines = "".join(f'{name} = "{path}"\n' for name, path in folders.items())
    told = complaint(tmp_path, LEAST + lines)
    assert any(name in told for name in folders)


@pytest.mark.parametrize("delimiter", ['"', "\\n", "é", "ab", ""])
def test_a_delimiter_that_cannot_divide_cells_is_refused(tmp_path, delimiter) -> None:
    assert "data.delimiter" in complaint(tmp_path, LEAST + f"delimiter = '''{delimiter}'''".replace("'''\\n'''", '"\\n"'))


@pytest.mark.parametrize(
    "text",
    [
        "this is no toml",
        LEAST + "[data]\ntarget = 'twice'",
        "a = " + "[" * 50_000,
        LEAST + "[train]\nseed = " + "9" * 5000,
        LEAST + "[retrain]\nage = '99999999999999w'",
        LEAST + "[retrain]\nage = '" + "9" * 400 + "d'",
        LEAST.encode() + b"# \xff\xfe",
        b"\x00\x01\x02",
        "project = 3\n[data]\ntarget = 'y'",
        "",
    ],
    ids=["prose", "twice", "deep", "huge", "overflow", "overflow-float", "not-utf8", "binary", "flat", "empty"],
)
def test_a_hostile_file_is_a_configuration_error(tmp_path, text) -> None:
    assert len(complaint(tmp_path, text)) < 2000


def test_a_byte_order_mark_is_understood(tmp_path) -> None:
    assert load(write(tmp_path, b"\xef\xbb\xbf" + LEAST.encode()), environment={}).project.name == "demo"


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.mkdir(), lambda folder: folder.write_text("x")])
def test_a_folder_without_a_project_says_how_to_make_one(tmp_path, make) -> None:
    make(tmp_path / "nothing")
    with pytest.raises(ProjectNotFound, match="keepfit init"):
        load(tmp_path / "nothing")


# ------------------------------------------------------------------------------------------------------------- durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("1.5h", 5400), ("7d", 604_800), ("2w", 1_209_600), (" 3 m ", 180), ("0s", 0)],
)
def test_durations(text, seconds) -> None:
    assert of(retrain={"age": text}).retrain.age == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "5 min", "-3d", "1e3s", "d", "3d4h", "٣d٣", 5, 5.5, True, [], {"days": 3}])
def test_what_is_no_duration_is_refused(text) -> None:
    with pytest.raises(ConfigError, match=re.escape("retrain.age")):
        of(retrain={"age": text})


@given(st.integers(0, 5000 * 86_400).map(lambda seconds: timedelta(seconds=seconds)))
def test_a_duration_that_is_shown_reads_back_as_the_same(span) -> None:
    """Otherwise `keepfit config` shows another setting than the one in force, and different settings share a fingerprint."""
    adapter = TypeAdapter(Duration)
    assert adapter.validate_python(adapter.dump_python(span, mode="json")) == span


# ------------------------------------------------------------------------------------------------------------------ paths


def test_relative_paths_belong_to_the_projects_folder_wherever_the_command_starts(tmp_path, monkeypatch) -> None:
    write(tmp_path / "project")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for start, folder in ((elsewhere, Path("../project")), (tmp_path, Path("project")), (tmp_path / "project", Path())):
        monkeypatch.chdir(start)
        config = load(folder, environment={})
        monkeypatch.chdir(elsewhere)
        assert config.path(config.data.inbox).resolve() == tmp_path / "project/data/inbox"
        url = config.url(config.ledger.url)
        assert url.startswith("sqlite:////")
        assert Path(url.removeprefix("sqlite:///")).resolve() == tmp_path / "project/.keepfit/ledger.db"


@pytest.mark.parametrize("url", ["sqlite:////var/x.db", "postgresql://host/db", "http://host:5000", "sqlite:///:memory:"])
def test_addresses_that_are_whole_stay_as_they_are(tmp_path, url) -> None:
    assert load(write(tmp_path), environment={}).url(url) == url


def test_absolute_folders_stay_as_they_are(tmp_path) -> None:
    assert load(write(tmp_path), environment={}).path("/srv/in") == Path("/srv/in")


# ---------------------------------------------------------------------------------------------------------------- secrets


@pytest.mark.parametrize("name", ["KEEPFIT_LEDGER__URL", "KEEPFIT_TRACKING__URL", "MLFLOW_TRACKING_URI"])
def test_a_password_in_an_address_is_never_shown(tmp_path, name) -> None:
    config = load(write(tmp_path), environment={name: "postgresql://keeper:s3cret@host:5432/db"})
    shown = json.dumps(config.rows())
    assert "s3cret" not in shown
    assert "host:5432/db" in shown
    assert "s3cret" in config.ledger.url + config.tracking.url  # it still works


def test_a_password_does_not_appear_in_a_complaint(tmp_path) -> None:
    told = complaint(tmp_path, LEAST + "[ledger]\nurl = 'postgresql://keeper:s3cret@host/db'\nlease = 'soon'\n")
    assert "s3cret" not in told


def test_what_only_the_environment_knows_is_not_in_the_tree(tmp_path) -> None:
    environment = dict.fromkeys(("SMTP_PASSWORD", "AWS_SECRET_ACCESS_KEY", "KEEPFIT_X"), "s3cret")
    assert "s3cret" not in json.dumps(load(write(tmp_path), environment=environment).rows())


# ----------------------------------------------------------------------------------------------- the tree documents itself


def _sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        kinds = [field.annotation]
        while kinds:
            kind = kinds.pop()
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _sections(kind)
            kinds.extend(get_args(kind))


SECTIONS = sorted(set(_sections(Config)) - {Config}, key=lambda section: section.__name__)


def test_the_whole_tree_is_looked_at() -> None:
    assert {"Project", "Data", "Column", "Holdout", "CandidateSettings", "Budget", "Slices", "Simulate"} <= {
        section.__name__ for section in SECTIONS
    }


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_setting_says_what_it_is(section) -> None:
    said = {name: (field.description or "").strip() for name, field in section.model_fields.items()}
    assert [name for name, text in said.items() if not text.endswith(".")] == []


@pytest.mark.parametrize("section", [*SECTIONS, Config], ids=lambda section: section.__name__)
def test_sections_are_frozen_and_refuse_what_they_do_not_know(section) -> None:
    assert issubclass(section, Section)
    assert section.model_config["frozen"] is True
    assert section.model_config["extra"] == "forbid"


def test_the_schema_knows_every_setting_and_duration_texts() -> None:
    schema = json_schema()
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert set(schema["properties"]) == {field.alias or name for name, field in Config.model_fields.items()}
    data = schema["$defs"]["Data"]["properties"]
    assert data["settle"]["type"] == "string"
    assert data["inbox"]["description"]


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_keeps_to_the_schema(template) -> None:
    tree = tomllib.loads((files("keepfit.templates") / template.replace("-", "_") / FILE_NAME).read_text())
    assert list(_misfits(tree, json_schema(), "")) == []
    assert Config.of(tree).project.name


@pytest.mark.parametrize(
    ("tree", "misfit"),
    [
        ({"retrain": {"windw": "all"}}, ".retrain.windw"),
        ({"retrain": {"window": "some"}}, ".retrain.window"),
        ({"promote": {"gate": "best"}}, ".promote.gate"),
        ({"data": {"columns": {"a": {"type": 3}}}}, ".data.columns.a.type"),
    ],
)
def test_the_schema_refuses_what_the_settings_refuse(tree, misfit) -> None:
    assert misfit in list(_misfits(tree, json_schema(), ""))


def _misfits(value: Any, schema: dict[str, Any], where: str) -> Iterator[str]:
    """The places at which a value does not fit the parts of JSON Schema that say what a setting is."""
    if "$ref" in schema:
        schema = json_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        if all(list(_misfits(value, option, where)) for option in schema["anyOf"]):
            yield where
        return
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
    kinds["null"] = type(None)
    if not isinstance(value, kinds.get(schema.get("type", ""), object)):
        yield where
        return
    if "enum" in schema and value not in schema["enum"]:
        yield where
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        yield where
    if isinstance(value, list):
        for item in value:
            yield from _misfits(item, schema.get("items", {}), where)
    if isinstance(value, dict):
        rest = schema.get("additionalProperties", True)
        for name, item in value.items():
            inner = schema.get("properties", {}).get(name, rest)
            if inner is False:
                yield f"{where}.{name}"
            elif isinstance(inner, dict):
                yield from _misfits(item, inner, f"{where}.{name}")


# ------------------------------------------------------------------------------------------------------------ fingerprint


def test_the_fingerprint_is_equal_for_equal_settings_and_looks_at_the_named_sections_only() -> None:
    greater = of(promote={"gate": "greater"})
    assert of().fingerprint() == of(promote={"gate": "superior"}).fingerprint()
    assert of().fingerprint() != greater.fingerprint()
    assert of().fingerprint("project", "data", "train") == greater.fingerprint("project", "data", "train")
    assert of().fingerprint("validate") != of(validate={"min_quality": 1}).fingerprint("validate")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        of().promote.gate = "greater"
