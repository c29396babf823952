"""The shape of the source: small files, named for what they hold, and a public surface that changes only on purpose."""

from __future__ import annotations

import ast
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

import keepfit
import keepfit.testing
from keepfit import config, cycle, errors, ports
from keepfit.cli.main import app

SOURCE = Path(keepfit.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
LONGEST = 400  # lines of code in a file
MOST_METHODS = 5  # of a port
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}
EXIT_CODES = {
    "KeepfitError": 1,
    "ConfigError": 2,
    "ProjectNotFound": 2,
    "MissingExtra": 2,
    "DataError": 1,
    "UserCodeError": 1,
    "ModelRefused": 1,
    "AliasMoved": 1,
    "Unavailable": 1,
    "SchemaTooNew": 1,
    "TooSoon": 1,
    "LeaseHeld": 3,
    "LeaseLost": 3,
    "Conflict": 1,
    "NotFound": 2,
}


def relative(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def code_lines(path: Path) -> int:
    """Lines that hold code: docstrings, comments and empty lines are there to be read and do not count."""
    text = path.read_text(encoding="utf-8")
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in skipped
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(lines - set(docstring_lines(ast.parse(text))))


def docstring_lines(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)


def test_files_are_short() -> None:
    long = {relative(path): lines for path in FILES if (lines := code_lines(path)) >= LONGEST}
    assert not long


def test_no_name_says_nothing() -> None:
    named = {relative(path): {*path.stem.split("_"), *(part for part in path.relative_to(SOURCE).parts[:-1])} for path in FILES}
    assert not {name for name, words in named.items() if words & EMPTY_NAMES}
    classes = [
        f"{relative(path)}:{node.name}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and {word.lower() for word in re.findall("[A-Z][a-z]+", node.name)} & EMPTY_NAMES
    ]
    assert not classes


def test_every_module_says_what_it_is_for() -> None:
    silent = [relative(path) for path in FILES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert not silent


def test_the_public_names_are_these() -> None:
    assert sorted(keepfit.__all__) == ["Cycle", "Project", "__version__", "open"]
    assert all(getattr(keepfit, name) is not None for name in keepfit.__all__)
    with pytest.raises(AttributeError, match="no attribute 'run'"):
        _ = keepfit.run


def test_the_names_for_other_peoples_adapters_are_these() -> None:
    assert sorted(keepfit.testing.__all__) == [
        "InboxContract",
        "LedgerContract",
        "LogContract",
        "MemoryInbox",
        "MemoryLedger",
        "MemoryLog",
        "MemoryRegistry",
        "MemorySpans",
        "MemoryStore",
        "MemoryTracker",
        "ReferencesContract",
        "RegistryContract",
        "SetClock",
        "StoreContract",
        "TrackerContract",
        "VersionsContract",
    ]


def test_the_verbs_are_methods_of_a_project() -> None:
    verbs = {command.callback.__name__ for command in app.registered_commands if command.callback}
    elsewhere = {"init", "demo", "config", "drift", "serve", "watch"}  # those need no project, or are its attribute
    assert verbs - elsewhere <= {name for name, _ in inspect.getmembers(keepfit.Project, inspect.isfunction)}


def every_error() -> dict[str, type[errors.KeepfitError]]:
    found = inspect.getmembers(errors, lambda member: inspect.isclass(member) and issubclass(member, errors.KeepfitError))
    return dict(found)


def test_every_error_has_the_exit_code_that_is_documented() -> None:
    assert {name: kind.exit_code for name, kind in every_error().items()} == EXIT_CODES


@pytest.mark.parametrize("name", EXIT_CODES)
def test_an_error_without_a_message_says_what_its_docstring_says(name: str) -> None:
    kind = every_error()[name]
    assert "__doc__" in vars(kind)
    assert kind.__doc__
    assert str(kind()) == inspect.cleandoc(kind.__doc__)


def test_every_error_stands_in_the_drawn_tree() -> None:
    for name, kind in every_error().items():
        line = next(line for line in (errors.__doc__ or "").splitlines() if f" {name} " in f"{line} ")
        assert "exit" not in line or f"exit {kind.exit_code}" in line


def settings(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting below a section, and its description."""
    for name, field in model.model_fields.items():
        key = f"{path}.{field.alias or name}".lstrip(".")
        inner = section(field.annotation)
        if path:
            yield key, field.description
        if inner is not None:
            yield from settings(inner, key)


def section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := section(part)) is not None), None)


def test_every_setting_says_what_it_means() -> None:
    found = dict(settings(config.Config))
    assert len(found) > 80
    assert not [key for key, description in found.items() if not (description or "").strip().endswith(".")]


def protocols() -> dict[str, type]:
    return dict(
        inspect.getmembers(
            ports, lambda member: getattr(member, "_is_protocol", False) and member.__module__.startswith(ports.__name__)
        )
    )


def test_ports_are_small() -> None:
    many = {name: methods(kind) for name, kind in protocols().items() if len(methods(kind)) > MOST_METHODS}
    assert not many


def methods(kind: type) -> list[str]:
    """What an adapter must do; attributes that only lead to another port do not count."""
    return [name for name, member in vars(kind).items() if inspect.isfunction(member) and not name.startswith("_")]


def test_every_method_of_a_port_says_what_it_does() -> None:
    named_for_themselves = {"Ledger.close"}
    found = {f"{name}.{method}": getattr(kind, method).__doc__ for name, kind in protocols().items() for method in methods(kind)}
    assert {name for name, doc in found.items() if not doc} <= named_for_themselves


def test_the_stages_are_the_files() -> None:
    assert set(cycle.NAMES) == {path.stem for path in (SOURCE / "stages").glob("*.py")} - {"__init__"}
    assert cycle.NAMES == (
        "collect",
        "validate",
        "prepare",
        "monitor",
        "decide",
        "train",
        "compare",
        "promote",
        "release",
        "archive",
    )
    assert len(cycle.STAGES) == len(cycle.NAMES)
