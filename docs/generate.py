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
        "http-api.md": _http,
        "cycle.md": _cycle,
        "serving-records.md": _serving_records,
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
        units = (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60))
        unit, size = next((each for each in units if seconds and not seconds % each[1]), ("s", 1))
        return f'`"{seconds / size:g}{unit}"`'
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
    for name, command in _commands("keepfit", typer.main.get_command(app)):
        context = click.Context(command, info_name=name, terminal_width=100, max_content_width=100)
        yield f"## `{context.info_name}`"
        yield ""
        yield "```text"
        yield from (line.rstrip() for line in command.get_help(context).splitlines())
        yield "```"
        yield ""


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """A command and, one by one, those below it."""
    yield name, command
    for below, inner in getattr(command, "commands", {}).items():
        yield from _commands(f"{name} {below}", inner)


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
    yield from _records(classes, ["Cycle", *(name for name in classes if name != "Cycle")])


def _serving_records() -> Iterator[str]:
    from keepfit import live_records

    yield "# Serving's records"
    yield ""
    yield "What the [HTTP API](http-api.md), `Project.live` and the ledger hold of a model in service. A number that is undefined"
    yield "is null."
    yield ""
    classes = _classes(Path(live_records.__file__))
    yield from _records(classes, list(classes))


def _records(classes: dict[str, tuple[ast.ClassDef, list[str]]], order: list[str]) -> Iterator[str]:
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


# -------------------------------------------------------------------------------------------------------------- HTTP API


def _http() -> Iterator[str]:
    document, needs = _openapi()
    schemas = document["components"]["schemas"]
    yield "# HTTP API"
    yield ""
    yield "What `keepfit serve` answers, shown for a model that tells spam by a field `message`. A running server describes"
    yield "itself at `/openapi.json`, and at `/docs` for people: a row's fields there are those of the version that answers then."
    yield ""
    yield "An error is a problem document (RFC 9457): [ProblemDocument](#problemdocument). Beside the statuses named below every"
    yield "address may answer 400 (not HTTP, or a header twice that may be there once), 401 and 403 (key, scope, origin), 408 (too"
    yield "slow), 421 (another host's name), 429 (too many requests), 431 (headers too large), 500 and 503, the last with"
    yield "`Retry-After` where waiting helps. A key is sent as `X-API-Key`, or as `Authorization: Bearer`."
    yield ""
    yield "| address | scope | what it does |"
    yield "|---|---|---|"
    told = [(path, method, operation) for path, way in document["paths"].items() for method, operation in way.items()]
    for path, method, operation in told:
        yield f"| `{method.upper()} {path}` | {needs[path, method]} | {_cell(operation['summary'])} |"
    yield ""
    for path, method, operation in told:
        yield from _operation(path, method, operation)
    yield "## Documents"
    yield ""
    for name in sorted(schemas):
        yield from _schema(name, schemas[name])


def _openapi() -> tuple[dict[str, Any], dict[tuple[str, str], str]]:
    """The document of a server with an example of a model, and the scope that each address asks for."""
    from keepfit.inputs import Inputs
    from keepfit.serve_settings import Serve
    from keepfit.serving.app import build_app
    from keepfit.serving.desk import Desk, Served
    from keepfit.serving.endpoints import Endpoint
    from keepfit.serving.plan import Placed
    from keepfit.serving.schemas import Schema
    from keepfit.settings import Column

    settings: Any = Serve(authentication="required")
    message = Column(type="text", max_null_share=0.0, min_length=2, max_length=2000)
    inputs = Inputs(
        task="classification",
        target="label",
        columns={"message": message},
        classes=("ham", "spam"),
        example={"message": "Are you free tomorrow?"},
    )
    nothing: Any = None  # neither a log nor a model is asked for a description
    desk = Desk("sms-spam", nothing, settings)
    loaded: Any = type("Loaded", (), {"inputs": inputs})()
    placed = Placed(model="sms-spam-classifier", version="1", folder="")
    desk.served = Served(placed=placed, loaded=loaded, schema=Schema(inputs, settings))
    app = build_app(desk, nothing, settings, "sms-spam")
    every = [endpoint for endpoint in app.router.routes if isinstance(endpoint, Endpoint)]
    needs = {(each.path, each.method.lower()): _scope(each.needs) for each in every}
    return app.openapi(), needs


def _scope(needs: Any) -> str:
    if not needs:
        return "none"
    return f"`{min(needs, key=lambda scope: (str(scope) == 'admin', str(scope)))}`"


def _operation(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"## {method.upper()} {path}"
    yield ""
    yield f"{operation['summary']}."
    yield ""
    if operation.get("description"):
        yield operation["description"]
        yield ""
    for parameter in operation.get("parameters", ()):
        where = {"query": "query", "header": "header"}[parameter["in"]]
        yield f"- `{parameter['name']}` ({where}, {_kind(parameter['schema'])}): {_cell(parameter.get('description', ''))}"
    body = operation.get("requestBody")
    if body:
        kinds = ", ".join(f"{_kind(content['schema'])} as `{kind}`" for kind, content in body["content"].items())
        yield f"- body{'' if body.get('required') else ', may be left out'}: {kinds}"
    answer = operation["responses"]["200"].get("content", {})
    kinds = ", ".join(f"{_kind(content['schema'])} as `{kind}`" for kind, content in answer.items())
    yield f"- answer: 200, {kinds}" if kinds else "- answer: 200"
    usual = {"200", "400", "401", "403", "408", "421", "429", "431", "500", "503"}
    others = [
        f"{status} {each['description'].rstrip('.').lower()}"
        for status, each in operation["responses"].items()
        if status not in usual
    ]
    if others:
        yield f"- otherwise: {'; '.join(others)}"
    yield ""


def _schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    if schema.get("description"):
        yield _cell(schema["description"])
        yield ""
    if "enum" in schema:
        yield f"One of {', '.join(f'`{value}`' for value in schema['enum'])}."
    elif "oneOf" in schema:
        names = [name for form in schema["oneOf"] for name in form["properties"]]
        yield f"An object with one of {', '.join(f'`{name}`' for name in names)}."
    elif "properties" in schema:
        yield "| field | type | meaning |"
        yield "|---|---|---|"
        required = schema.get("required", ())
        for field, each in schema["properties"].items():
            optional = "" if field in required else ", may be left out"
            yield f"| `{field}` | {_kind(each)}{optional} | {_cell(each.get('description', ''))} |"
    yield ""
    for example in schema.get("examples", ())[:1]:
        yield from ("```json", json.dumps(example, ensure_ascii=False, indent=1), "```", "")


def _kind(schema: dict[str, Any]) -> str:
    """A JSON Schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(each) for each in schema["anyOf"]))
    if "enum" in schema:
        return "one of " + ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_kind(schema['additionalProperties'])}"
    return "time" if schema.get("format") == "date-time" else str(kind)


# ----------------------------------------------------------------------------------------------------------------- ports


def _ports() -> Iterator[str]:
    from keepfit import live_ports, ports

    yield "# Ports"
    yield ""
    yield "What the loop needs from the world. Pass an object of your own in place of one of keepfit's adapters by its name in"
    yield "`Ports`: `keepfit.open(folder, releaser=MyReleaser())`. It needs the methods below and no base class. A method that"
    yield "changes something finds what it did before it does it again: a stage may be run twice."
    yield ""
    sections = ("__init__", "data", "models", "engine", "registry", "people", "ledger")
    classes = {name: found for part in sections for name, found in _classes(Path(ports.__file__).with_name(f"{part}.py")).items()}
    yield from _protocols(classes, ["Ports", *(name for name in classes if name != "Ports")])
    yield "# Ports of serving"
    yield ""
    yield "What serving needs beside them."
    yield ""
    classes = _classes(Path(live_ports.__file__))
    yield from _protocols(classes, list(classes))


def _protocols(classes: dict[str, tuple[ast.ClassDef, list[str]]], order: list[str]) -> Iterator[str]:
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
