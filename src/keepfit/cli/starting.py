"""`keepfit init`, `demo`, `doctor`, `simulate`: to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from keepfit.cli.output import JsonOption, ProjectOption, VerboseOption, document, fact, note, table, verb
from keepfit.errors import ConfigError


@verb
def init(
    names: Annotated[list[str], typer.Argument(metavar="[TEMPLATE] DIR", help="A template's name and a folder, or the folder.")],
    data: Annotated[Path | None, typer.Option("--data", help="A CSV, Parquet or JSON Lines file of your own.")] = None,
    target: Annotated[str | None, typer.Option("--target", help="The column to predict.")] = None,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Make a project: from a template (`init churn DIR`), or from data (`init DIR --data FILE --target COLUMN`)."""
    *template, folder = names
    if len(template) > 1:
        raise ConfigError(f"Expected a template's name and a folder, or a folder, found {len(names)} names: {', '.join(names)}.")
    for line in _from_template(template[0], Path(folder), data, target) if template else _from_data(Path(folder), data, target):
        fact(line)


def _from_template(name: str, folder: Path, data: Path | None, target: str | None) -> list[str]:
    if data or target:
        raise ConfigError("A template brings its own data: leave out --data and --target, or the template's name.")
    from keepfit.templates import copy_template

    return copy_template(name, folder)


def _from_data(folder: Path, data: Path | None, target: str | None) -> list[str]:
    if data is None or target is None:
        from keepfit.templates import NAMES

        raise ConfigError(
            f"Name a template ({', '.join(NAMES)}) and a folder, or give --data FILE and --target COLUMN for data of your own."
        )
    from keepfit.own_data.start import start_project

    return start_project(folder, data, target)


@verb
def demo(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Where to make the project; a temporary folder without.")
    ] = None,
    template: Annotated[str, typer.Option("--template", help="churn, or sms-spam: a filter behind its API.")] = "churn",
    days: Annotated[int, typer.Option("--days", min=2, max=365, help="Days of churn to play.")] = 30,
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Play a model's life: thirty days of churn with a concept drift and a broken day, or an SMS filter that meets a new scam."""
    if template == "sms-spam":
        _tell_story(folder, json=json)
        return
    if template != "churn":
        raise ConfigError(f"--template {template!r}: expected churn or sms-spam")
    from keepfit.cli.demo_table import show
    from keepfit.demo import play

    days_played = play(folder, days)
    if json:
        document([day.record() for day in days_played])
    else:
        show(days_played)


def _tell_story(folder: Path | None, *, json: bool) -> None:
    from keepfit.cli.story_table import show
    from keepfit.story import play

    scenes = play(folder, note)
    if json:
        document(scenes)
    else:
        show(scenes)


@verb
def doctor(project: ProjectOption = Path(), json: JsonOption = False, verbose: VerboseOption = False) -> None:  # noqa: ARG001
    """Check that everything a cycle needs is there."""
    from keepfit.project import open

    with open(project) as opened:
        found = opened.doctor()
    if json:
        document([{"what": what, "well": well, "words": words} for what, well, words in found])
    else:
        table(("", "what", ""), [("ok" if well else "BAD", what, words) for what, well, words in found])
    if not all(well for _, well, _ in found):
        raise typer.Exit(1)


@verb
def simulate(
    project: ProjectOption = Path(),
    days: Annotated[int, typer.Option("--days", min=1, max=3660, help="How many days.")] = 1,
    start: Annotated[str | None, typer.Option("--start", metavar="DATE", help="The first day; today without.")] = None,
    covariate_drift_from: Annotated[str | None, typer.Option(metavar="DATE", help="From this day the inputs shift.")] = None,
    concept_drift_from: Annotated[str | None, typer.Option(metavar="DATE", help="From this day the relation changes.")] = None,
    broken_on: Annotated[list[str] | None, typer.Option(metavar="DATE", help="On this day an upstream column breaks.")] = None,
    option: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Any other option of the generator.")] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Leave days that came before: to inbox or archive, or, the very same, to quarantine.")
    ] = False,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Ask this running API instead of writing files.")] = None,
    rate: Annotated[float, typer.Option(min=0.1, max=10_000, help="With --url: requests a second at most.")] = 50.0,
    labels: Annotated[str, typer.Option(metavar="N%", help="With --url: share of the answers whose label comes back.")] = "100%",
    label_delay: Annotated[str, typer.Option(metavar="TIME", help="With --url: how long labels take, such as 30s.")] = "0s",
    labels_to: Annotated[Path | None, typer.Option(metavar="FILE", help="With --url: a CSV that gets the labels instead.")] = None,
    skip: Annotated[int, typer.Option(min=0, help="With --url: rows that were asked before.")] = 0,
    json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Make up days of data by the project's generator: files in the inbox, or with --url traffic for a running API.

    The API key is read from KEEPFIT_API_KEY.
    """
    from keepfit.project import open

    options: dict[str, Any] = dict(_option(each) for each in option or ())
    given = {"covariate_drift": covariate_drift_from, "concept_drift": concept_drift_from, "broken": broken_on}
    options |= {name: value for name, value in given.items() if value}
    with open(project) as opened:
        if url is not None:
            from keepfit.cli.traffic import pace, told

            wanted = pace(rate, labels, label_delay, labels_to, skip)
            told(opened.send_traffic(url, start, days, options, wanted, note), wanted, json=json)
            return
        made = opened.simulate(start, days, options, once=once)
    if json:
        document(made)
        return
    new = [each.file for each in made if each.new]
    if len(new) < len(made):
        note(f"not made again, since they came before: {len(made) - len(new)} of {len(made)} {'day' if len(made) == 1 else 'days'}")
    if new:
        fact(f"{len(new)} {'file' if len(new) == 1 else 'files'} written: {new[0]}" + (f" to {new[-1]}" if new[1:] else ""))
        note("`keepfit run` takes them in")


def _option(text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value as TOML where it is, else as text."""
    import tomllib

    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise ConfigError(f"--option {text!r}: expected NAME=VALUE")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name, value
