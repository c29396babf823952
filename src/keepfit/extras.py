"""Optional parts: imported when they are used, and a clear line when they are not installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from keepfit.errors import MissingExtra


def require(module: str, *, extra: str, why: str) -> Any:
    """The module. Raises `MissingExtra` saying what needs it and how to install it.

    >>> require("no_such_module", extra="pictures", why="[reports] pictures = true")
    Traceback (most recent call last):
    keepfit.errors.MissingExtra: [reports] pictures = true needs no_such_module: pip install 'keepfit[pictures]'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(error.name + ".")):
            raise  # it is there, and something that it needs is not
        raise MissingExtra(f"{why} needs {module.partition('.')[0]}: pip install 'keepfit[{extra}]'") from None
