"""Writes the reference pages from the code that they describe.

    python docs/generate.py           write the pages into docs/reference
    python docs/generate.py --check   write nothing; exit 1 and name the pages that are stale

The pages are committed, so that they can be read without building anything; a test fails while one is stale.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

FOLDER = Path(__file__).parent / "reference"
NOTICE = "<!-- Written by docs/generate.py from the code. Change the code and run `python docs/generate.py`. -->"


def pages() -> dict[str, str]:
    """Every generated page: file name -> text."""
    written = {
        "settings.md": _settings,
        "command-line.md": _command_line,
        "cycle.md": _cycle,
        "python.md": _python,
        "ports.md": _ports,
        "errors.md": _errors,
    }
    return {name: _page(write) for name, write in written.items()}


def _page(write: Callable[[], Iterator[str]]) -> str:
    return "\n".join([NOTICE, "", *write()]).rstrip() + "\n"


# ------------------------------------------------------------------------------------------------------------- settings


def _settings() -> Iterator[str]:
    from keepfit.config import ECOSYSTEM, Config

    yield "# Settings"
    yield ""
    yield "Everything that `keepfit.toml` may say. `keepfit config` prints the values of a project and where each was set;"
    yield "`keepfit config --schema` prints a JSON Schema that editors understand."
    yield ""
    yield "A value is taken from the first of these that sets it: the environment variable `KEEPFIT_SECTION__KEY` (a nested"
    yield "section takes another `__`, as in `KEEPFIT_DATA__HOLDOUT__SHARE`), `keepfit.toml`, the default. In Python,"
    yield '`keepfit.open(folder, flags={"section.key": value})` wins over all of them. A list or a table in the environment is'
    yield "written as in TOML: `KEEPFIT_RETRAIN__TRIGGERS='[\"floor\"]'`."
    yield ""
    names = ", ".join(f"`{name}` for `{key}`" for name, key in ECOSYSTEM.items())
    yield f"These names of other tools count too: {names}."
    yield ""
    yield "Paths belong to the folder of `keepfit.toml`. A duration is a number and a unit: `90s`, `15m`, `12h`, `7d`, `2w`. A"
    yield "function is named as `module:function`, and the module is a file beside `keepfit.toml`. A name that is not known is"
    yield "an error."
    yield ""
    for name, field in Config.model_fields.items():
        yield from _section(field.alias or name, field.annotation, optional=field.default is None)


def _section(path: str, annotation: Any, *, optional: bool = False, repeated: bool = False) -> Iterator[str]:
    model = _model(annotation)
    if model is None:
        return
    yield f"## `{f'[[{path}]]' if repeated else f'[{path}]'}`"
    yield ""
    if optional:
        yield "The section may be left out."
        yield ""
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    nested = []
    for name, field in model.model_fields.items():
        inner, kind = _model(field.annotation), get_origin(field.annotation)
        if inner is not None and kind is dict:
            nested.append((f"{path}.{name}.NAME", inner, False, False))
        elif inner is not None:
            nested.append((f"{path}.{name}", inner, field.default is None, kind is tuple))
        meaning = _cell(field.description or "")
        if inner is not None:
            meaning += f" See `{nested[-1][0]}` below."
        yield f"| `{name}` | {_cell(_type(field.annotation, field.metadata))} | {_default(field)} | {meaning} |"
    yield ""
    for below, inner, is_optional, is_repeated in nested:
        yield from _section(below, inner, optional=is_optional, repeated=is_repeated)


def _model(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation is, or holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model(part)) is not None), None)


def _type(annotation: Any, metadata: Any = ()) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{json.dumps(part)}`" for part in parts)
    if origin in (Union, UnionType):
        return " or ".join(_type(part, metadata) for part in parts if part is not NoneType)
    if origin is tuple:
        return f"list of {_type(parts[0])}"
    if origin is dict:
        return "tables by name" if _model(parts[1]) else "table"
    if hasattr(annotation, "__metadata__"):
        return _type(parts[0], (*annotation.__metadata__, *metadata))
    if _model(annotation) is not None:
        return "table"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", timedelta: "duration", Any: "any"}
    return names.get(annotation, str(annotation)) + _limits(metadata)


def _limits(metadata: Any) -> str:
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    found = []
    for each in metadata:
        found += [f"{words} {getattr(each, name)}" for name, words in signs.items() if getattr(each, name, None) is not None]
        inside = _limits(getattr(each, "metadata", ()))  # a bound type keeps its limits in a Field
        found += [inside.removeprefix(", ")] if inside else []
    return f", {', '.join(found)}" if found else ""


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "*required*"
    if field.default is None or isinstance(field.default, BaseModel):
        return ""
    if isinstance(field.default, timedelta):
        seconds = field.default.total_seconds()
        unit, size = next(each for each in (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60), ("s", 1)) if not seconds % each[1])
        return f'`"{seconds / size if seconds else 0:.0f}{unit if seconds else "s"}"`'
    return f"`{json.dumps(field.default)}`".replace("|", "\\|")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# --------------------------------------------------------------------------------------------------------- command line


def _command_line() -> Iterator[str]:
    import click
    import typer

    from keepfit.cli.main import app

    yield "# Command line"
    yield ""
    yield "Every verb that works on a project has `--project DIR` (without it: the folder you are in). Verbs that print facts"
    yield "have `--json`, which puts one JSON document on standard output. Progress and remarks go to standard error."
    yield ""
    yield "| exit code | meaning |"
    yield "|---|---|"
    yield "| 0 | done, whatever the outcome of the cycle |"
    yield "| 1 | failed: data, code of the project, a model, or something that does not answer |"
    yield "| 2 | wrong usage or configuration, or there is nothing by that name |"
    yield "| 3 | another runner holds the lease |"
    yield "| 130 | interrupted with Ctrl-C |"
    yield ""
    group: Any = typer.main.get_command(app)
    for name in ("", *group.commands):
        command = group.commands[name] if name else group
        context = click.Context(command, info_name=f"keepfit {name}".strip(), terminal_width=100, max_content_width=100)
        yield f"## `{context.info_name}`"
        yield ""
        yield "```text"
        yield from (line.rstrip() for line in command.get_help(context).splitlines())
        yield "```"
        yield ""


# --------------------------------------------------------------------------------------------------------------- records


def _cycle() -> Iterator[str]:
    from keepfit import records

    yield "# The Cycle record"
    yield ""
    yield "`keepfit run` returns one `Cycle`; `keepfit explain --json`, `history --json` and `run --json` print it. The ledger"
    yield "stores it after every stage. It holds ids, numbers and reasons, never rows or models. A number that is undefined is"
    yield "null."
    yield ""
    classes = _classes(Path(records.__file__))
    order = ["Cycle", *(name for name in classes if name != "Cycle")]
    for name in order:
        node, source = classes[name]
        yield f"## {name}"
        yield ""
        yield ast.get_docstring(node) or ""
        yield ""
        values = any(isinstance(base, ast.Name) and base.id == "StrEnum" for base in node.bases)
        yield "| value | meaning |" if values else "| field | type | meaning |"
        yield "|---|---|" if values else "|---|---|---|"
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                kind = _cell(ast.unparse(statement.annotation))
                yield f"| `{statement.target.id}` | `{kind}` | {_cell(_comment(source, statement))} |"
            elif values and isinstance(statement, ast.Assign):
                yield f"| `{ast.literal_eval(statement.value)}` | {_cell(_comment(source, statement))} |"
        yield ""


def _classes(path: Path) -> dict[str, tuple[ast.ClassDef, list[str]]]:
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    return {node.name: (node, lines) for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}


def _comment(lines: list[str], statement: ast.stmt) -> str:
    """The comment behind a statement."""
    line = lines[(statement.end_lineno or statement.lineno) - 1]
    return line[statement.end_col_offset or 0 :].partition("# ")[2]


# ---------------------------------------------------------------------------------------------------------------- python


def _python() -> Iterator[str]:
    import keepfit
    from keepfit.project import Project

    yield "# Python"
    yield ""
    yield "Every verb of the command line is a method of the project that `keepfit.open` returns."
    yield ""
    yield "```python"
    yield "import keepfit"
    yield ""
    yield 'with keepfit.open("my-model") as project:'
    yield "    cycle = project.run()"
    yield "    print(cycle.outcome, cycle.reason)"
    yield "    print(project.explain(cycle.id))"
    yield "```"
    yield ""
    yield f"The public names of `keepfit` are {', '.join(f'`{name}`' for name in keepfit.__all__)}. `Cycle` is described in"
    yield "[The Cycle record](cycle.md), the errors in [Errors](errors.md)."
    yield ""
    yield from _function("keepfit.open", keepfit.open)
    for name, member in inspect.getmembers(Project):
        if not name.startswith("_") and inspect.isfunction(member):
            yield from _function(f"Project.{name}", member)
    yield from _testing()


def _function(name: str, function: Any, level: str = "##") -> Iterator[str]:
    signature = inspect.signature(function)
    parameters = [_parameter(parameter) for parameter in signature.parameters.values() if parameter.name != "self"]
    for index, parameter in enumerate(signature.parameters.values()):
        if parameter.kind is parameter.KEYWORD_ONLY and not any(
            other.kind is parameter.VAR_POSITIONAL for other in signature.parameters.values()
        ):
            parameters.insert(index - ("self" in signature.parameters), "*")
            break
    returned = "" if signature.return_annotation in (signature.empty, "None") else f" -> {signature.return_annotation}"
    yield f"{level} `{name}`"
    yield ""
    yield "```text"
    one = f"{name}({', '.join(parameters)}){returned}"
    if len(one) <= 100:
        yield one
    else:
        yield f"{name}("
        yield from (f"    {parameter}," for parameter in parameters)
        yield f"){returned}"
    yield "```"
    yield ""
    yield from _prose(inspect.getdoc(function) or "")


def _parameter(parameter: inspect.Parameter) -> str:
    star = {parameter.VAR_KEYWORD: "**", parameter.VAR_POSITIONAL: "*"}.get(parameter.kind, "")
    kind = "" if parameter.annotation is parameter.empty else f": {parameter.annotation}"
    if parameter.default is parameter.empty:
        return f"{star}{parameter.name}{kind}"
    default = "..." if callable(parameter.default) else repr(parameter.default)
    return f"{star}{parameter.name}{kind} = {default}"


def _prose(doc: str) -> Iterator[str]:
    """A docstring as Markdown: the entries under "Args:" and "Raises:" become lists."""
    inside = False
    for line in doc.splitlines():
        if re.fullmatch(r"(Args|Raises|Attributes):", line):
            inside = True
            yield f"{line.removesuffix(':')}:"
            yield ""
        elif inside and (entry := re.fullmatch(r"    ([\w, ]+): (.*)", line)):
            yield f"- `{entry[1]}`: {entry[2]}"
        elif inside and line.startswith("      "):
            yield f"  {line.strip()}"
        else:
            inside = inside and bool(line.strip())
            yield line
    yield ""


def _testing() -> Iterator[str]:
    from keepfit import testing

    yield "## `keepfit.testing`"
    yield ""
    yield "For your own adapters, and for trying things without files or databases."
    yield ""
    yield "| name | what it is |"
    yield "|---|---|"
    for name in testing.__all__:
        home = Path(testing.__file__).parent / f"{testing._HOMES[name].rpartition('.')[2]}.py"
        doc = ast.get_docstring(_classes(home)[name][0]) or ""
        first = doc.partition("\n\n")[0]
        yield f"| `{name}` | {_cell(first)} |"
    yield ""


# ----------------------------------------------------------------------------------------------------------------- ports


def _ports() -> Iterator[str]:
    from keepfit import ports

    yield "# Ports"
    yield ""
    yield "What the loop needs from the world. Pass an object of your own in place of one of keepfit's adapters by its name in"
    yield "`Ports`: `keepfit.open(folder, releaser=MyReleaser())`. It needs the methods below and no base class. A method that"
    yield "changes something finds what it did before it does it again: a stage may be run twice."
    yield ""
    classes = _classes(Path(ports.__file__))
    order = ["Ports", *(name for name in classes if name != "Ports")]
    for name in order:
        node, source = classes[name]
        yield f"## {name}"
        yield ""
        yield from (ast.get_docstring(node) or "").splitlines()
        yield ""
        if any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases):
            yield from _methods(node)
        else:
            yield from _fields(node, source)


def _methods(node: ast.ClassDef) -> Iterator[str]:
    for method in node.body:
        if not isinstance(method, ast.FunctionDef):
            continue
        is_property = any(isinstance(mark, ast.Name) and mark.id == "property" for mark in method.decorator_list)
        given = ast.unparse(method.args).removeprefix("self").removeprefix(", ")
        returned = f" -> {ast.unparse(method.returns)}" if method.returns is not None else ""
        shown = f"{method.name}{returned.replace(' -> ', ': ')}" if is_property else f"{method.name}({given}){returned}"
        doc = " ".join((ast.get_docstring(method) or "").split())
        yield f"- `{shown}`" + (f"  \n  {doc}" if doc else "")
    yield ""


def _fields(node: ast.ClassDef, source: list[str]) -> Iterator[str]:
    yield "| field | type | meaning |"
    yield "|---|---|---|"
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            kind = _cell(ast.unparse(statement.annotation))
            yield f"| `{statement.target.id}` | `{kind}` | {_cell(_comment(source, statement))} |"
    yield ""


# ---------------------------------------------------------------------------------------------------------------- errors


def _errors() -> Iterator[str]:
    from keepfit import errors

    yield "# Errors"
    yield ""
    yield "Every error that a person may meet is a `KeepfitError`. Its text says what to do. The command line prints it without"
    yield "a traceback (`--verbose` shows one) and returns its exit code."
    yield ""
    yield "| error | is a | exit code | default text |"
    yield "|---|---|---|---|"
    for name in _classes(Path(errors.__file__)):
        kind = getattr(errors, name)
        yield f"| `{name}` | `{kind.__base__.__name__}` | {kind.exit_code} | {_cell(kind.__doc__)} |"
    yield ""


def main(arguments: list[str]) -> int:
    stale = []
    for name, text in pages().items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in arguments:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    for name in stale:
        sys.stdout.write(f"{name} {'is stale' if '--check' in arguments else 'written'}\n")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
