"""One call of joblib's, in a thread."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from joblib import Parallel, delayed

from keepfit.adapters.joblib_engine.carrying import Answer, Carried, carry_out
from keepfit.adapters.joblib_engine.links import Link
from keepfit.errors import KeepfitError

BATCHES = 16  # for each slot, where there are enough items

Found = SimpleQueue[Answer | Exception | None]  # None: that was all


class Call:
    """`pool` holds what calls before this one have left for reuse: Ray takes seconds to start its processes anew."""

    def __init__(
        self, link: Link, carried: Carried, items: Mapping[int, Any], slots: tuple[int, int], found: Found, pool: list[Any]
    ) -> None:
        self._link, self._carried, self._items, self._found, self._pool = link, carried, items, found, pool
        self._at_once, self._handed_out = slots
        self._parallel: Any = None

    def run(self) -> None:
        """Put every answer into `found`, and at last None or what went wrong."""
        try:
            shared = self._link.share(self._carried)
            self._parallel = self._pool.pop() if self._pool else self._made()
            # joblib's own guess makes batches of up to a second, the last of which keeps all other workers waiting.
            self._parallel.batch_size = max(1, len(self._items) // (BATCHES * self._at_once))
            for answer in self._parallel(delayed(carry_out)(shared, number, item) for number, item in self._items.items()):
                self._found.put(answer)
            if self._link.lasting:
                self._pool.append(self._parallel)
            self._found.put(None)
        except (Exception, SystemExit) as error:
            if self._parallel is not None and self._link.lasting:
                leave(self._parallel)
            self._found.put(error if isinstance(error, Exception) else KeepfitError("the connection was given up"))

    def stop(self) -> None:
        """Let a thread go that waits for a cluster which is gone. joblib has no public way to be told."""
        if self._parallel is not None and self._parallel not in self._pool:
            self._parallel._aborting = True

    def _made(self) -> Any:
        made = Parallel(
            backend=self._link.backend(),
            n_jobs=max(self._link.least, self._at_once),
            pre_dispatch=self._handed_out,
            return_as="generator_unordered" if self._link.one_by_one else "list",
            **self._link.options,
        )
        return made.__enter__() if self._link.lasting else made


def leave(parallel: Any) -> None:
    """Give back what it holds of the cluster, as far as that is still there."""
    with suppress(Exception):
        parallel.__exit__(None, None, None)
