"""A process that works on a ledger as it is told: one JSON list a line in, one JSON value a line out."""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, event

from keepfit.adapters import ledger_sql
from keepfit.errors import KeepfitError
from keepfit.records import Batch, Cycle, Lease, Promotion


class Runner:
    """Holds one ledger and one lease."""

    ledger: ledger_sql.SqlLedger
    lease: Lease

    def open(self, url: str) -> None:
        self.ledger = ledger_sql.open_ledger(url)

    def acquire(self, project: str, seconds: float) -> int:
        self.lease = self.ledger.leases.acquire(project, f"box:{os.getpid()}:a", seconds)
        return self.lease.fence

    def release(self) -> None:
        self.ledger.leases.release(self.lease)

    def save(self, id: str, count: int = 1) -> None:
        batches = tuple(Batch(id=f"{id}-{number}", name=f"{id}-{number}.csv", size=1) for number in range(count))
        cycle = Cycle(id=id, project=self.lease.project, started_at=datetime.now(UTC), batches=batches)
        self.ledger.cycles.save(cycle, self.lease)

    def intend(self, id: str) -> None:
        promotion = Promotion(alias="champion", from_version=None, to_version="1")
        self.ledger.journal.intend(self.lease.project, id, promotion, self.lease)

    def die_before(self, words: str) -> None:
        """Be killed when a statement with these words is about to run."""

        @event.listens_for(Engine, "before_cursor_execute")
        def kill(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            if words in statement:
                os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    runner = Runner()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = getattr(runner, name)(*arguments)
        except KeepfitError as error:
            answer = type(error).__name__
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
