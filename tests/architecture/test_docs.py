"""The documentation says what is there: nothing missing, nothing stale, nothing that leads nowhere."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

import keepfit
from keepfit import cycle, errors
from keepfit.cli.main import app
from keepfit.config import Config, json_schema
from keepfit.records import Outcome

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCE = Path(keepfit.__file__).parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")] + sorted(
    path for path in [*DOCS.rglob("*.md"), *SOURCE.rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
)
COMMANDS: Any = typer.main.get_command(app)
TEXTS = (".py", ".md", ".toml", ".yml", ".yaml", ".lock", ".txt", "")


def commands(name: str, command: Any) -> dict[str, Any]:
    """A command and all below it, by their names as they are typed."""
    found = {name: command}
    for below, inner in getattr(command, "commands", {}).items():
        found |= commands(f"{name} {below}", inner)
    return found


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that is meant by `keepfit WORDS`, None where there is no such verb, and what is left of the words."""
    command, rest = COMMANDS, list(words)
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    return (None if command is COMMANDS else command), rest


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [text for kind, text in found if kind == language]


def every_block(language: str) -> list[Any]:
    return [
        pytest.param(text, id=f"{named(path)}-{number}") for path in PAGES for number, text in enumerate(blocks(path, language))
    ]


# ------------------------------------------------------------------------------------------------------ generated pages


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("keepfit_docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_fresh(generator: ModuleType) -> None:
    stale = [name for name, text in generator.pages().items() if (DOCS / "reference" / name).read_text(encoding="utf-8") != text]
    assert not stale, "run: python docs/generate.py"


def test_every_page_of_the_reference_is_generated(generator: ModuleType) -> None:
    assert {path.name for path in (DOCS / "reference").glob("*.md")} == set(generator.pages())


def every_key(schema: dict[str, Any], part: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Every setting by section and name, from the published JSON Schema."""
    for name, given in part.get("properties", {}).items():
        yield path, name
        for below in sections(schema, given):
            yield from every_key(schema, below, f"{path}.{name}".lstrip("."))


def sections(schema: dict[str, Any], given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "$ref" in given:
        yield schema["$defs"][given["$ref"].rpartition("/")[2]]
    for inner in (*given.get("anyOf", ()), given.get("items"), given.get("additionalProperties")):
        if isinstance(inner, dict):
            yield from sections(schema, inner)


def test_every_setting_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
    parts = {
        heading.strip("[]").removesuffix(".NAME"): text
        for heading, text in re.findall(r"^## `([^`]+)`\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    }
    schema = json_schema()
    keys = [(section, name) for section, name in every_key(schema, schema) if section]
    assert len(keys) > 80
    assert not [f"{section}.{name}" for section, name in keys if f"\n| `{name}` |" not in parts[section]]


def test_every_verb_and_flag_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "command-line.md").read_text(encoding="utf-8")
    for verb, command in commands("keepfit", COMMANDS).items():
        part = page.partition(f"\n## `{verb}`\n")[2].partition("\n## ")[0]
        assert part, verb
        for parameter in (each for each in command.params if not getattr(each, "hidden", False)):
            assert all(flag in part for flag in parameter.opts if flag.startswith("-")), (verb, parameter.name)


def test_every_error_and_method_is_in_the_reference() -> None:
    shown = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    assert not [name for name, kind in vars(errors).items() if isinstance(kind, type) and f"| `{name}` |" not in shown]
    python = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    methods = [name for name, member in vars(keepfit.Project).items() if callable(member) and not name.startswith("_")]
    assert not [name for name in methods if f"## `Project.{name}`" not in python]


@pytest.mark.parametrize("page", ["README.md", "docs/concepts/loop.md"])
def test_every_stage_and_outcome_is_told_of(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert not [word for word in (*cycle.NAMES, *Outcome) if word not in text]


# ---------------------------------------------------------------------------------------------------------------- links


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_internal_links_resolve(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}, target


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert not [path.name for path in DOCS.rglob("*.md") if f" {path.relative_to(DOCS).as_posix()}\n" not in navigation]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_named_files_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    files = re.findall(r"`((?:tests|docs|src|benchmarks)/[\w./-]+)`", text)
    assert not [file for file in files if not (ROOT / file).exists()]


# ---------------------------------------------------------------------------------------------------------------- blocks


@pytest.mark.parametrize("text", every_block("python"))
def test_python_in_the_documentation_compiles(text: str) -> None:
    ast.parse(text)


@pytest.mark.parametrize("text", every_block("json"))
def test_json_in_the_documentation_is_json(text: str) -> None:
    json.loads(text)


@pytest.mark.parametrize("text", every_block("toml"))
def test_settings_in_the_documentation_are_settings(text: str) -> None:
    tree: dict[str, Any] = {"project": {"name": "shown", "task": "classification"}, "data": {"target": "y"}}
    for section, values in tomllib.loads(text).items():
        tree[section] = {**tree.get(section, {}), **values} if isinstance(values, dict) else values
    Config.of(tree)


def keepfit_lines() -> list[Any]:
    """Every line of a shell block that calls keepfit, in all pages."""
    indented = re.compile(r"^(?: {4})(keepfit .*)$", re.MULTILINE)
    return [
        pytest.param(line[line.index("keepfit ") :], id=f"{named(path)}: {line.strip()}")
        for path in PAGES
        for text in (*blocks(path, "bash"), *indented.findall(path.read_text(encoding="utf-8")))
        for line in text.splitlines()
        if re.match(r"\s*(\S*/)?keepfit ", line)
    ]


@pytest.mark.parametrize("line", keepfit_lines())
def test_commands_in_the_documentation_are_understood(line: str) -> None:
    command, arguments = command_of(shlex.split(line.partition(" >")[0], comments=True)[1:])
    assert command is not None, "there is no such verb"
    command.make_context(line, arguments)  # raises for a flag that does not exist or an argument too many


def test_inline_commands_name_verbs_and_flags_that_exist() -> None:
    wrong = []
    for page in PAGES:
        for verb, rest in re.findall(r"`keepfit ([a-z]+)([^`]*)`", page.read_text(encoding="utf-8")):
            command, words = command_of([verb, *rest.split()])
            known = {option for parameter in command.params for option in parameter.opts} | {"--help"} if command else set()
            if command is None or not {word for word in words if word.startswith("-")} <= known:
                wrong.append(f"{named(page)}: keepfit {verb}{rest}")
    assert not wrong


def test_make_commands_in_the_documentation_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    used = {
        target
        for page in PAGES
        for target in re.findall(r"(?:`|^ {4})make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {"setup", "demo", "test", "check", "docs", "bench"} <= used <= targets


def test_readme_begins_with_the_two_commands() -> None:
    lines = [line.split("#")[0].strip() for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[1:] if line]
    assert lines[:2] == ["make demo", "make test"]


# -------------------------------------------------------------------------------------------------------------- doctests


def modules_with_examples() -> list[str]:
    found = [path for path in SOURCE.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8")]
    return sorted(path.relative_to(SOURCE.parent).with_suffix("").as_posix().replace("/", ".") for path in found)


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_are_true(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
    assert tried
    assert not failed


# --------------------------------------------------------------------------------------------------------- the repository


def committed() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for line in listed.stdout.splitlines() if (path := ROOT / line).is_file() and path.suffix in TEXTS]


def test_nothing_names_the_machine_it_was_made_on() -> None:
    """Folders of one computer, and the hosts of package indexes, belong into nobody's repository."""
    hosts = "|".join(("files.python" + "hosted", "py" + r"pi\.org", "arti" + "factory", "ne" + "xus"))
    folders = "|".join(("/wo" + "rk/", "/ro" + "ot/", "/Us" + "ers/"))
    outside_tests = re.compile(f"{hosts}|{folders}|/t" + "mp/")
    inside_tests = re.compile(f"{hosts}|{folders}")
    found = []
    for path in committed():
        pattern = inside_tests if "tests" in path.relative_to(ROOT).parts else outside_tests
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{named(path)}:{number}: {line.strip()[:100]}")
    assert not found


def test_this_file_looks_at_the_keepfit_of_this_folder() -> None:
    assert SOURCE == ROOT / "src" / "keepfit", f"{sys.executable} has another keepfit"
