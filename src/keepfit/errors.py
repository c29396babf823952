"""What can go wrong, drawn as a tree.

    KeepfitError                    every error a person may meet; ``str(error)`` says what to do
    ├── ConfigError                 keepfit.toml, the environment or a flag is wrong          exit 2
    │   ├── ProjectNotFound         there is no keepfit.toml here
    │   └── MissingExtra            an optional part is not installed
    ├── DataError                   a file cannot be read or does not hold what was promised  exit 1
    ├── UserCodeError               a function of the project raised or returned nonsense     exit 1
    ├── ModelRefused                a model file holds types that nobody has trusted          exit 1
    ├── AliasMoved                  the registry's alias is not where the journal left it     exit 1
    ├── Unavailable                 a database, server or disk does not answer; try again     exit 1
    │   ├── SchemaTooNew            the ledger was written by a newer keepfit
    │   └── TooSoon                 a server asks not to be asked again for a while
    ├── LeaseHeld                   another runner works on this project                      exit 3
    │   └── LeaseLost               this runner was replaced while it slept
    ├── Conflict                    somebody else changed it meanwhile                        exit 1
    └── NotFound                    no cycle, version or batch goes by that name              exit 2

A docstring is the default message. ``exit_code`` is what the command line returns.
"""

from __future__ import annotations

import inspect


class KeepfitError(Exception):
    """keepfit cannot go on."""

    exit_code = 1

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.cleandoc(type(self).__doc__ or ""))


class ConfigError(KeepfitError):
    """The configuration is wrong. `keepfit config` shows every value and where it comes from."""

    exit_code = 2


class ProjectNotFound(ConfigError):
    """There is no keepfit.toml here. Name the folder with --project, or make one with `keepfit init`."""


class MissingExtra(ConfigError):
    """An optional part of keepfit is not installed."""


class DataError(KeepfitError):
    """A data file cannot be read."""


class UserCodeError(KeepfitError):
    """A function of the project failed."""


class ModelRefused(KeepfitError):
    """The model holds types that nobody has trusted, so it was not loaded."""


class AliasMoved(KeepfitError):
    """The registry's alias was moved by someone else meanwhile, so it was left where it is."""


class Unavailable(KeepfitError):
    """Something that keepfit needs does not answer. Nothing is lost: run again when it is back."""


class SchemaTooNew(Unavailable):
    """The ledger was written by a newer keepfit. Upgrade keepfit; the ledger was not touched."""


class TooSoon(Unavailable):
    """A server asks not to be asked again for a while. What was to be sent waits until then."""

    def __init__(self, message: str | None = None, *, seconds: float = 0.0) -> None:
        """`seconds`: how long."""
        super().__init__(message)
        self.seconds = seconds


class LeaseHeld(KeepfitError):
    """Another runner is working on this project."""

    exit_code = 3


class LeaseLost(LeaseHeld):
    """Another runner took over while this one was not answering; this one changed nothing more."""


class Conflict(KeepfitError):
    """Somebody else changed it meanwhile. Look at it again, and repeat what you wanted if it still holds."""


class NotFound(KeepfitError):
    """There is nothing by that name."""

    exit_code = 2
