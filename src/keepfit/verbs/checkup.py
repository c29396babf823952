"""`keepfit doctor`: is everything there that a cycle needs? Checked one by one, nothing changed, and what to do in words.

A check whose base has failed is left out; a check that fails in an unforeseen way is a finding, never an error.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepfit.addresses import scheme
from keepfit.config import FILE_NAME, Config
from keepfit.errors import KeepfitError
from keepfit.prepared import held_out_by
from keepfit.rows import contract_of
from keepfit.settings import CandidateSettings, Column
from keepfit.verbs.places_checkup import disk_found, files_found, folders_found, places_of
from keepfit.verbs.serving_checkup import keys_found, log_found

if TYPE_CHECKING:
    from keepfit.opened_ports import OpenedPorts

Finding = tuple[str, bool, str]  # what, whether it is well, in words
Check = Callable[["OpenedPorts", Config], Iterator[Finding]]

SIGNATURES = {  # what the project's functions are called with
    "prepare": ("frame",),
    "train": ("features", "target"),
    "metric": ("rows",),
    "build": (),
    "simulate": ("day", "seed"),
    "quality": ("frame",),
}
EXTRAS = {  # distribution -> its extra, and what needs it
    "psycopg": ("postgres", "a ledger on Postgres"),
    "lightgbm": ("lightgbm", "LightGBM's models"),
    "apprise": ("alerts", "alerts"),
    "great-expectations": ("great-expectations", "[validate] engine = 'great_expectations'"),
    "evidently": ("evidently", "[reports] evidently = true"),
    "s3fs": ("s3", "whatever lies on s3://"),
    "dvc": ("dvc", "[data] versioning = 'dvc'"),
    "distributed": ("dask", "[engine] url = 'dask://...'"),
    "ray": ("ray", "[engine] url = 'ray://...'"),
    "joblibspark": ("spark", "[engine] url = 'spark://...'"),
    "boto3": ("s3", "[tracking] artifacts on s3://"),
    "gcsfs": ("gcs", "whatever lies on gs://"),
    "adlfs": ("azure", "whatever lies on az://"),
    "uvloop": ("serve", "keepfit serve"),
}


def examine(ports: OpenedPorts, config: Config) -> list[Finding]:
    """Everything that was found, in the order in which a cycle needs it. Never raises."""
    found: dict[str, list[Finding]] = {}
    for name, check in CHECKS.items():
        base = found.get(BASES.get(name, ""), [])
        if all(well for _, well, _ in base):
            found[name] = list(_guarded(name, check, ports, config))
    return [finding for findings in found.values() for finding in findings]


def _guarded(name: str, check: Check, ports: OpenedPorts, config: Config) -> Iterator[Finding]:
    try:
        yield from check(ports, config)
    except KeepfitError as error:
        yield name, False, str(error)
    except (Exception, SystemExit) as error:  # the project's own code may do anything on being imported
        yield name, False, f"{type(error).__name__}: {error}"


# ---------------------------------------------------------------------------------------------------------- computer


def _settings(_: OpenedPorts, config: Config) -> Iterator[Finding]:
    sources = [source for _, _, source in config.rows() if source != "default"]
    elsewhere = sorted({source for source in sources if source != FILE_NAME})
    others = f"; others from {', '.join(elsewhere)}" if elsewhere else ""
    yield "settings", True, f"{config.root / FILE_NAME}: {sources.count(FILE_NAME)} values{others}"


def _libraries(_: OpenedPorts, __: Config) -> Iterator[Finding]:
    from packaging.requirements import Requirement  # MLflow brings it along

    wrong = []
    needed = [Requirement(line) for line in importlib.metadata.requires("keepfit") or ()]
    needed = [each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    for each in needed:
        try:
            installed = importlib.metadata.version(each.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{each.name} is not installed")
            continue
        if not each.specifier.contains(installed, prereleases=True):
            wrong.append(f"{each.name} is {installed}, tested are {each.specifier}")
    words = f"{len(needed)} libraries are of tested versions" if not wrong else f"{'; '.join(wrong)}: pip install --upgrade keepfit"
    yield "libraries", not wrong, words


def _extras(ports: OpenedPorts, config: Config) -> Iterator[Finding]:
    schemes = {scheme(address) for address in (*places_of(config).values(), config.serve.log.url)}
    estimators = " ".join(each.estimator or "" for each in config.train.candidates)
    needed = {
        "psycopg": config.ledger.url.startswith("postgres"),
        "lightgbm": "lightgbm" in estimators,
        "apprise": bool(ports.notifier.receivers),
        "great-expectations": config.validation.engine == "great_expectations",
        "evidently": config.reports.evidently,
        "s3fs": "s3" in schemes,
        "dvc": config.data.versioning == "dvc",
        "distributed": config.engine.url.startswith("dask://"),
        "ray": config.engine.url.startswith("ray://"),
        "joblibspark": config.engine.url.startswith("spark://"),
        "boto3": scheme(config.tracking.artifacts) == "s3",
        "gcsfs": bool(schemes & {"gs", "gcs"}),
        "adlfs": bool(schemes & {"az", "abfs", "abfss"}),
        "uvloop": False,  # a project need not be served
    }
    for module, (extra, use) in EXTRAS.items():
        try:
            yield f"optional: {extra}", True, f"{module} {importlib.metadata.version(module)}"
        except importlib.metadata.PackageNotFoundError:
            words = f"is not installed; {use} would need it: pip install 'keepfit[{extra}]'"
            yield f"optional: {extra}", not needed[module], words


# -------------------------------------------------------------------------------------------------------------- data


def _contract(ports: OpenedPorts, config: Config) -> Iterator[Finding]:
    columns = contract_of(ports, config)
    if columns is None:
        yield "contract", True, "is inferred from the first file and then kept in .keepfit/prepared; or write [data.columns]"
        return
    origin = "[data.columns]" if config.data.columns else "inferred from the first file"
    yield "contract", True, f"{len(columns)} columns, {origin}"
    for setting, name in _named_columns(config):
        if name not in columns and name != config.data.target:
            close = _close(name, columns)
            advice = f"did you mean {close!r}?" if close else "add it to [data.columns], or correct the setting"
            yield setting, False, f"names {name!r}, which is no column of the contract: {advice}"
    yield from _contradictions(columns, config)


def _named_columns(config: Config) -> Iterator[tuple[str, str]]:
    data = config.data
    single = {"data.id": data.id, "data.time": data.time, "data.group": data.group, "data.unit": data.unit}
    single["data.holdout.stratify"] = data.holdout.stratify
    yield from ((setting, name) for setting, name in single.items() if name is not None)
    if not config.data.prepare:  # a prepare function may make the columns that are kept
        yield from (("data.keep", name) for name in data.keep)
    if config.promote.slices is not None:
        yield from (("promote.slices", name) for name in config.promote.slices.columns)


def _close(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant, whatever its capitals."""
    by_plain = {each.casefold(): each for each in known}
    return next((by_plain[plain] for plain in difflib.get_close_matches(name.casefold(), by_plain, n=1)), None)


def _contradictions(columns: dict[str, Column], config: Config) -> Iterator[Finding]:
    data, by = config.data, held_out_by(config)
    if data.target not in columns:
        close = _close(data.target, columns)
        hint = f"; did you mean {close!r}?" if close else ""
        yield "data.target", not close, f"{data.target!r} is not in the contract, so its values are not checked{hint}"
    if data.time in columns and columns[data.time].type != "datetime":
        yield "data.time", False, f"{data.time!r} is promised as {columns[data.time].type}: make it a datetime, with its format"
    if by in ("group", "time") and getattr(data, by) is None:
        yield "data.holdout.by", False, f"is {by!r}: name the column with [data] {by}"
    if data.holdout.stratify is not None and by in ("time", "file"):
        yield "data.holdout.stratify", False, f"has no effect while rows are held out by {by}: leave it out"
    features = [
        name for name, column in columns.items() if column.feature and name not in (data.target, data.id, data.time, data.group)
    ]
    if not features and not data.prepare:
        yield "features", False, "the contract marks no column as a feature: set feature = true somewhere"


# ------------------------------------------------------------------------------------------------------- own functions


def _functions(ports: OpenedPorts, config: Config) -> Iterator[Finding]:
    train, simulate = config.train, config.simulate
    own = [("prepare", config.data.prepare), ("train", train.function), ("metric", train.metric if ":" in train.metric else None)]
    own += [("build", each.build) for each in train.candidates]
    made_up = [("simulate", simulate.function if simulate else None), ("quality", simulate.quality if simulate else None)]
    for code, roles in (("code", own), ("generator", made_up)):
        for role, name in roles:
            if name:
                yield _function(ports, code, role, name)


def _function(ports: OpenedPorts, code: str, role: str, name: str) -> Finding:
    what = f"function {name}"
    try:
        found = getattr(ports, code).function(f"build {name}" if role == "build" else role)
    except KeepfitError as error:
        return what, False, str(error)
    wanted = SIGNATURES[role]
    try:
        inspect.signature(found).bind(*wanted)
    except TypeError as error:
        return what, False, f"is called as {role}({', '.join(wanted)}), which it does not take: {error}"
    except ValueError:  # written in C, without a signature
        return what, True, f"is there, as {role}"
    return what, True, f"takes ({', '.join(wanted)}), as {role} must"


def _metric(ports: OpenedPorts, config: Config) -> Iterator[Finding]:
    metric = ports.metric
    yield "metric", True, f"{metric.name}, {'greater' if metric.greater_is_better else 'smaller'} is better"
    positive, labels = config.train.positive, set(config.data.labels.values())
    if positive is not None and labels and positive not in labels:
        yield "train.positive", False, f"is {positive!r}, which is no class of [data.labels]: {', '.join(sorted(labels))}"


def _candidates(_: OpenedPorts, config: Config) -> Iterator[Finding]:
    for number, settings in enumerate(config.train.candidates, 1):
        if settings.estimator is not None:
            what = f"candidate {settings.name or number}"
            problem = _problem(settings)
            yield what, not problem, problem or settings.estimator


def _problem(settings: CandidateSettings) -> str:
    """What is wrong with a candidate, in words; empty when nothing is."""
    module, _, name = str(settings.estimator).rpartition(".")
    try:
        estimator: Any = getattr(importlib.import_module(module), name)(**settings.parameters)
        if hasattr(estimator, "_validate_params"):
            estimator._validate_params()  # scikit-learn would say it at the first fit only
    except ImportError as error:
        return f"{settings.estimator} cannot be imported: {error}. Install it, or correct the name."
    except AttributeError:
        return f"{module} has no {name}: correct estimator"
    except (TypeError, ValueError) as error:
        return f"{settings.estimator} does not accept its parameters: {error}"
    known = estimator.get_params()
    for searched in settings.search:
        step, _, parameter = searched.partition("__")
        if step not in ("estimator", "columns") or (step == "columns" and not settings.preprocess):
            return f"search names {searched!r}: names begin with estimator__ or, inside keepfit's preparation, columns__"
        if step == "estimator" and parameter not in known:
            close = _close(parameter, known)
            return f"search names {searched!r}" + (f": did you mean 'estimator__{close}'?" if close else ", which it does not have")
    return ""


# ----------------------------------------------------------------------------------------------------------- databases


def _ledger(ports: OpenedPorts, config: Config) -> Iterator[Finding]:
    if _not_made_yet(ports, "ledger", config.ledger.url, config):
        yield "ledger", True, "is made by the first run"
        return
    ledger, project = ports.ledger, config.project.name
    counts = ", ".join(f"{count} {state.value}" for state, count in ledger.batches.count(project).items() if count)
    yield "ledger", True, f"opens, with the tables of this keepfit; files: {counts or 'none yet'}"
    lease = ledger.leases.current(project)
    if lease is None:
        yield "lease", True, "is free"
    elif lease.expires_at > ports.clock.now():
        yield "lease", True, f"{lease.holder} is at work since {lease.since:%Y-%m-%d %H:%M:%S}; another run would have to wait"
    else:
        yield "lease", True, f"was left by {lease.holder}; the next run takes it over"
    if ledger.cycles.recent(project, 1, unfinished=True):
        yield "cycle", True, "one was interrupted; the next run goes on with it"


def _registry(ports: OpenedPorts, config: Config) -> Iterator[Finding]:
    if _not_made_yet(ports, "registry", config.tracking.url, config):
        yield "MLflow", True, "its database is made by the first run"
        return
    champion = ports.registry.champion()
    alias, model = config.promote.alias, config.tracking.model or config.project.name
    yield "MLflow", True, f"{re.sub(r'//[^/@]*@', '//', config.tracking.url)} answers"
    if champion is None:
        yield "champion", True, f"no version of {model} has the alias {alias} yet"
        return
    yield _loadable(ports, champion.version, f"{model} version {champion.version}, alias {alias}")
    if "ledger" in ports.__dict__:
        done = next((entry for entry in ports.ledger.journal.entries(config.project.name) if entry.status == "done"), None)
        if done is not None and done.promotion.to_version != champion.version:
            words = (
                f"is at version {champion.version}, and the journal left it at {done.promotion.to_version}: somebody else moved it"
            )
            yield "alias", False, f"{words}. `keepfit promote {champion.version}` makes it so in the journal too."


def _loadable(ports: OpenedPorts, version: str, shown: str) -> Finding:
    try:
        ports.registry.load(version)
    except KeepfitError as error:
        return "champion", False, f"{shown} cannot be loaded: {error}"
    return "champion", True, f"{shown} can be loaded"


def _engine(ports: OpenedPorts, _: Config) -> Iterator[Finding]:
    yield "engine", True, ports.engine.check()


def _data_versions(ports: OpenedPorts, config: Config) -> Iterator[Finding]:
    if config.data.versioning == "dvc":
        yield "data versions", True, ports.versions.check()


def _alerts(ports: OpenedPorts, _: Config) -> Iterator[Finding]:
    receivers = ports.notifier.receivers
    if not receivers:
        yield "alerts", True, "nobody is set up to be told: see ALERT_EMAIL, SLACK_WEBHOOK_URL, KEEPFIT_ALERTS__URLS"
        return
    ports.notifier.check()
    yield "alerts", True, f"go to {', '.join(receivers)}; `keepfit alerts --test` tries them"


def _release(ports: OpenedPorts, config: Config) -> Iterator[Finding]:
    github = config.release.github
    if not ports.releaser.receivers:
        yield "release", True, "nothing follows a promotion: see [release.github] enabled, ENABLE_CD_TRIGGER"
        return
    ports.releaser.check()
    where = f": {github.workflow} of {github.owner}/{github.repository} at {github.ref}" if github.enabled else ""
    yield "release", True, f"a promotion starts {', '.join(ports.releaser.receivers)}{where}; nobody was asked"


def _not_made_yet(ports: OpenedPorts, port: str, url: str, config: Config) -> bool:
    """Whether it is a database file that no run has made. Making one takes MLflow half a minute."""
    prefix = "sqlite:///"
    full = config.url(url)
    return port not in ports.__dict__ and full.startswith(prefix) and not Path(full.removeprefix(prefix)).exists()


CHECKS: dict[str, Check] = {
    "settings": _settings,
    "libraries": _libraries,
    "optional parts": _extras,
    "folders": folders_found,
    "disk": disk_found,
    "files": files_found,
    "functions": _functions,
    "contract": _contract,
    "metric": _metric,
    "candidates": _candidates,
    "ledger": _ledger,
    "MLflow": _registry,
    "engine": _engine,
    "data versions": _data_versions,
    "alerts": _alerts,
    "release": _release,
    "prediction log": log_found,
    "API keys": keys_found,
}
# a check that means nothing where another has failed
BASES = {"metric": "functions", "prediction log": "ledger", "API keys": "ledger"}
