"""Second copies of content that keepfit has already: they go to quarantine, once the record of the cycle names them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from keepfit.errors import DataError
from keepfit.ports import Ports
from keepfit.records import Batch, Duplicate, Place


def set_aside(duplicates: Iterable[Duplicate], ports: Ports) -> None:
    """Move the duplicates, or find them moved; one that has vanished is no loss."""
    for duplicate in duplicates:
        copy = Batch(id=duplicate.batch, name=duplicate.name, size=0, place=Place.INBOX)
        with contextlib.suppress(DataError):
            ports.inbox.move(copy, Place.QUARANTINE, f"duplicate: the same content as {duplicate.original}, which keepfit has")
