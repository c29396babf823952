"""How the command line speaks: facts on stdout, everything else on stderr, errors with their causes and what to do."""

from __future__ import annotations

import functools
import json
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from keepfit.errors import DataError, KeepfitError

DRIFT_FOUND = 4  # exit code with --fail-on-drift
F = TypeVar("F", bound=Callable[..., Any])

ProjectOption = Annotated[Path, typer.Option("--project", "-p", help="The project's folder.", show_default="here")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", help="Show the traceback of an error.")]


def verb(function: F) -> F:
    """Turn the errors of a command into messages and exit codes; a traceback only with --verbose."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except KeepfitError as error:
            _complain(error, options.get("verbose", False))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            note("interrupted; what was done is kept, and the next run goes on from there")
            raise typer.Exit(130) from None
        except typer.Exit:
            raise
        except BrokenPipeError:
            raise typer.Exit(1) from None
        except Exception as error:
            _complain(error, options.get("verbose", False))
            note("this was not foreseen; --verbose shows where it happened")
            raise typer.Exit(1) from None

    return wrapped  # type: ignore[return-value]


def _complain(error: BaseException, verbose: bool) -> None:
    if verbose:
        traceback.print_exception(error, file=sys.stderr)
    shown = str(error) if isinstance(error, KeepfitError) else f"{type(error).__name__}: {error}"
    print(f"error: {shown}", file=sys.stderr)
    cause, said = error.__cause__, {shown}
    while cause is not None:
        text = f"{type(cause).__name__}: {cause}".partition("\n")[0]
        if not any(str(cause).partition("\n")[0] in other for other in said):
            print(f"  because {text}", file=sys.stderr)
            said.add(text)
        cause = cause.__cause__


def fail_on(drift: bool | None, note: str) -> None:
    """Exit with 4 when there is drift. Raises `DataError` when nobody can say: that is not "no drift"."""
    if drift is None:
        raise DataError(f"Whether there is drift could not be told: {note or 'nothing was measured'}.")
    if drift:
        raise typer.Exit(DRIFT_FOUND)


def note(text: str) -> None:
    """A line for the person watching."""
    print(text, file=sys.stderr)


def fact(text: str) -> None:
    """A line of the answer."""
    print(text)


def document(value: Any) -> None:
    """The one JSON document."""
    from keepfit.codec import dumps

    print(json.dumps(json.loads(dumps(value)), indent=2, ensure_ascii=False))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """A table; plain and wide when nobody is watching, so that nothing is cut off in a file."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 200, soft_wrap=False, highlight=False)
    drawn = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        drawn.add_row(*(_plain(cell) for cell in row))
    console.print(drawn)


def _plain(cell: str) -> Any:
    from rich.text import Text

    return Text(cell)  # data may hold [brackets] that are no markup
