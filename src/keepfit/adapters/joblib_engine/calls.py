"""One call of joblib's, in a thread."""

from __future__ import annotations

from collections.abc import Mapping
from queue import SimpleQueue
from typing import Any

from joblib import Parallel, delayed

from keepfit.adapters.joblib_engine.carrying import Answer, Carried, carry_out
from keepfit.adapters.joblib_engine.links import Link
from keepfit.errors import KeepfitError

Found = SimpleQueue[Answer | Exception | None]  # None: that was all


class Call:
    """One call of joblib's, in a thread."""

    def __init__(self, link: Link, carried: Carried, items: Mapping[int, Any], at_once: int, handed_out: int, found: Found) -> None:
        self._link, self._carried, self._items, self._found = link, carried, items, found
        self._at_once, self._handed_out = at_once, handed_out
        self._parallel: Any = None

    def run(self) -> None:
        try:
            shared = self._link.share(self._carried)
            self._parallel = self._joblib()
            for answer in self._parallel(delayed(carry_out)(shared, number, item) for number, item in self._items.items()):
                self._found.put(answer)
            self._found.put(None)
        except Exception as error:
            self._found.put(error)
        except SystemExit:
            self._found.put(KeepfitError("the connection was given up"))

    def stop(self) -> None:
        """Let a thread go that waits for a cluster which is gone. joblib has no public way to be told."""
        if self._parallel is not None:
            self._parallel._aborting = True

    def _joblib(self) -> Any:
        return Parallel(
            backend=self._link.backend(),
            n_jobs=max(self._link.least, self._at_once),
            pre_dispatch=self._handed_out,
            return_as="generator_unordered" if self._link.one_by_one else "list",
            **self._link.options,
        )
