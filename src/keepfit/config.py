"""One frozen tree of settings, read from keepfit.toml, the environment and flags, in which each value knows its source.

Precedence, strongest first: a flag, the environment (`KEEPFIT_SECTION__KEY`, and the names that the ecosystem already uses),
keepfit.toml, the default written here. Relative paths belong to the folder of keepfit.toml, wherever the command is started.
Secrets are read from the environment by the libraries that need them and never stand in the tree.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from pydantic import (
    BaseModel,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from keepfit.addresses import lies_in, local_path
from keepfit.errors import ConfigError, ProjectNotFound
from keepfit.operation_settings import Clean, Deploy, Release, Schedule, Watch
from keepfit.serve_settings import Serve
from keepfit.settings import (
    Alerts,
    Data,
    Engine,
    LedgerSettings,
    Monitor,
    NumberMetric,
    Project,
    Promote,
    Reports,
    Retrain,
    Section,
    Simulate,
    Tracking,
    Train,
    Validate,
)

FILE_NAME = "keepfit.toml"

# Names that other tools already use, and the setting each stands for.
ECOSYSTEM = {
    "MLFLOW_TRACKING_URI": "tracking.url",
    "MLFLOW_EXPERIMENT_NAME": "tracking.experiment",
    "ENABLE_CD_TRIGGER": "release.github.enabled",
    "GITHUB_REPO_OWNER": "release.github.owner",
    "GITHUB_REPO_NAME": "release.github.repository",
}

# Secrets: whoever needs one reads it from the environment itself, and it never stands in the tree.
SECRETS = {"KEEPFIT_ALERTS__URLS": "alerts.urls", "KEEPFIT_LOG_KEY": "serve.log.key"}


class Config(Section):
    """The whole tree, one attribute a section of keepfit.toml; it knows where each value comes from and where the project lies.

    >>> config = Config.of({"project": {"name": "demo", "task": "regression"}, "data": {"target": "y"}})
    >>> config.promote.gate, config.source("promote.gate"), config.source("data.target")
    ('superior', 'default', 'given')
    """

    project: Project
    data: Data
    validation: Validate = Field(default=Validate(), alias="validate")  # pydantic has a `validate` of its own
    monitor: Monitor = Monitor()
    retrain: Retrain = Retrain()
    train: Train = Train()
    promote: Promote = Promote()
    tracking: Tracking = Tracking()
    alerts: Alerts = Alerts()
    reports: Reports = Reports()
    ledger: LedgerSettings = LedgerSettings()
    engine: Engine = Engine()
    serve: Serve = Serve()
    schedule: Schedule = Schedule()
    watch: Watch = Watch()
    deploy: Deploy = Deploy()
    release: Release = Release()
    clean: Clean = Clean()
    simulate: Simulate | None = None

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)
    _root: Path = PrivateAttr(default_factory=Path.cwd)

    @model_validator(mode="after")
    def _fits_together(self) -> Config:
        if self.retrain.window == "choose" and self.train.function is not None:
            raise ValueError("retrain.window = 'choose' cannot choose for train.function: expected 'all' or 'last N'")
        needed, looks = map(int, self.retrain.confirm.split(" of "))
        if needed > looks:
            raise ValueError(f"retrain.confirm = {self.retrain.confirm!r} asks for more cycles than it looks at")
        if self.train.per == "group" and self.data.group is None:
            raise ValueError("train.per = 'group' needs data.group to name a column")
        self._check_further_metrics()
        self._check_places()
        return self

    def _check_places(self) -> None:
        """What keepfit writes as Parquet files must not come in as data."""
        for name, place in (("tracking.artifacts", self.tracking.artifacts), ("serve.log.url", self.serve.log.url)):
            for folder in ("inbox", "archive", "quarantine"):
                if lies_in(place, getattr(self.data, folder)):
                    raise ValueError(f"{name} lies in data.{folder}: expected a place beside it")

    def _check_further_metrics(self) -> None:
        """Here rather than after an hour's training."""
        number = self.project.task == "regression"
        for name in self.tracking.further_metrics:
            if (name in get_args(NumberMetric)) != number:
                raise ValueError(f"tracking.further_metrics names {name!r}, which does not measure a {self.project.task}")
            if name in ("precision", "recall", "f1") and self.train.positive is None:
                raise ValueError(f"tracking.further_metrics names {name!r}, which is about one class: name it as train.positive")

    @classmethod
    def of(cls, tree: Mapping[str, Any], root: Path | None = None, sources: Mapping[str, str] | None = None) -> Config:
        """Settings from a plain dictionary. Raises `ConfigError` naming every wrong value."""
        given = dict(sources) if sources is not None else {key: "given" for key, _ in _leaves(tree)}
        try:
            config = cls.model_validate(tree)
        except ValidationError as error:
            where = str(root / FILE_NAME) if root else "The configuration"
            lines = [_complaint(item, given) for item in error.errors()]
            raise ConfigError("\n".join([f"{where} is not right:", *(f"  {line}" for line in lines)])) from None
        config._sources = given
        config._root = root or Path.cwd()
        return config

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self._root

    def source(self, key: str) -> str:
        """Where a value was set: 'default', 'keepfit.toml', 'environment NAME' or 'flag'."""
        while key:
            if key in self._sources:
                return self._sources[key]
            key = key.rpartition(".")[0]
        return "default"

    def path(self, value: str) -> Path:
        """A path of the project, or a file:// URL as a path; relative ones belong to its folder. Not for URLs of stores."""
        return self._root / local_path(value)

    def url(self, value: str) -> str:
        """A URL of the project; a relative sqlite:/// path belongs to its folder."""
        prefix = "sqlite:///"
        if value.startswith(prefix) and not value.startswith(prefix + "/") and value != prefix + ":memory:":
            return prefix + str(self.root / value.removeprefix(prefix))
        return value

    def rows(self) -> list[tuple[str, Any, str]]:
        """Every setting as (key, value, source)."""
        dumped = self.model_dump(mode="json", by_alias=True)
        return [(key, _without_password(value), self.source(key)) for key, value in _leaves(dumped)]

    def shown(self) -> dict[str, Any]:
        """The whole tree as it may be shown and kept: plain values, and URLs without their passwords. `of` reads it."""
        tree: dict[str, Any] = _shown(self.model_dump(mode="json", by_alias=True))
        return tree

    def fingerprint(self, *sections: str) -> str:
        """sha256 of the named sections, of all where none is named; equal for equal settings."""
        included = {section if section != "validate" else "validation" for section in sections} or None
        text = self.model_dump_json(include=included)
        return hashlib.sha256(text.encode()).hexdigest()


def load(folder: Path, flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None) -> Config:
    """Read the settings of the project in `folder`.

    `flags` are dotted keys with values; None values are not set. Raises `ProjectNotFound` or `ConfigError`, which names every
    wrong value, what was expected and where it was set.
    """
    root = Path(folder).expanduser().absolute()
    tree, sources = _from_file(root), {}
    sources.update({key: FILE_NAME for key, _ in _leaves(tree)})
    for key, value, source in _from_environment(os.environ if environment is None else environment):
        _put(tree, key, value, source)
        sources[key] = source
    for key, value in (flags or {}).items():
        if value is not None:
            _put(tree, key, value, "a flag")
            sources[key] = "flag"
    return Config.of(tree, root, sources)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of keepfit.toml, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema(by_alias=True)}


def _without_password(value: Any) -> Any:
    """A URL without the password before its host and without secrets among its parameters."""
    if not isinstance(value, str) or "://" not in value:
        return value
    scheme, _, rest = value.partition("://")
    host, slash, path = rest.partition("/")
    user, at, address = host.rpartition("@")
    shown = f"{user.partition(':')[0]}:***@{address}" if at and ":" in user else host
    return f"{scheme}://" + re.sub(r"(?i)([?&][^=&]*(?:password|secret|token|key)[^=&]*=)[^&]*", r"\1***", shown + slash + path)


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shown(inner) for key, inner in value.items()}
    return [_shown(inner) for inner in value] if isinstance(value, list) else _without_password(value)


def _from_file(root: Path) -> dict[str, Any]:
    path = root / FILE_NAME
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        raise ProjectNotFound(
            f"There is no {FILE_NAME} in {root}. Name the project's folder with --project, or make one with `keepfit init`."
        ) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _from_environment(environment: Mapping[str, str]) -> list[tuple[str, Any, str]]:
    found = [(key, environment[name], f"environment {name}") for name, key in ECOSYSTEM.items() if environment.get(name)]
    for name in sorted(environment):
        if name.startswith("KEEPFIT_") and "__" in name and name not in SECRETS:
            key = name.removeprefix("KEEPFIT_").lower().replace("__", ".")
            found.append((key, _parsed(key, environment[name]), f"environment {name}"))
    return found


def _parsed(key: str, text: str) -> Any:
    """Text for a setting that is text, otherwise a TOML value: 3, true, ["a", "b"]."""
    model: Any = Config
    for part in key.split("."):
        field = model.model_fields.get("validation" if part == "validate" else part) if _is_section(model) else None
        if field is None:
            return text
        model = next((kind for kind in (field.annotation, *get_args(field.annotation)) if _is_section(kind)), field.annotation)
    optional_text = isinstance(model, UnionType) and str in get_args(model)
    if model is str or get_origin(model) is Literal or optional_text:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _put(tree: dict[str, Any], key: str, value: Any, source: str) -> None:
    *sections, last = key.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{key} (from {source}) cannot be set: {section} is not a section")
    tree[last] = value


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            leaves.extend(_leaves(value, f"{prefix}{key}."))
        else:
            leaves.append((f"{prefix}{key}", value))
    return leaves


def _complaint(item: Any, sources: Mapping[str, str]) -> str:
    path = [str(part) for part in item["loc"]]
    key = ".".join(path)
    source = sources.get(key, "")
    origin = f" (from {source})" if source and source != FILE_NAME else ""
    if variable := next((name for name, secret in SECRETS.items() if secret == key), ""):
        return f"{key}{origin}: holds secrets, which belong into the environment: set {variable} there"
    if item["type"] == "secret":  # the value is not shown
        return f"{key}{origin}: {item['msg']}"
    if item["type"] == "extra_forbidden":
        return f"{key}{origin}: there is no such setting{_suggestion(path)}"
    if item["type"] == "missing":
        return f"{key}: is missing"
    message = item["msg"].removeprefix("Value error, ")
    found = item["input"]
    shown = "" if isinstance(found, dict) else f", found {_shown(found)!r}"
    return f"{key}{origin}: {message}{shown}"


def _suggestion(path: list[str]) -> str:
    model: Any = Config
    for part in path[:-1]:
        field = getattr(model, "model_fields", {}).get("validation" if part == "validate" else part)
        if field is None:
            continue  # a number in a list, or a column's name in the contract
        kinds = [field.annotation, *get_args(field.annotation)]
        model = next((kind for kind in kinds if _is_section(kind)), model)
    names = [field.alias or name for name, field in model.model_fields.items()]
    close = difflib.get_close_matches(path[-1], names, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(names)}"
