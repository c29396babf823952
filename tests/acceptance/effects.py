"""Counts everything that a run changes, and sends the run a signal just before one of these effects.

What a run only reads between two effects leaves the same state behind, so that a signal before each of them covers every
instant as far as the layer sees:

    ports    calls of keepfit's ports that change something
    mlflow   calls of MLflow's client that change something, within one call of a port
    files    files opened for writing, renamed and removed, and folders made
    objects  what is written, copied and removed in object storage, within one call of a port
    commits  transactions about to be committed, in the ledger and in MLflow's database
    schema   statements that make or change a table, in either
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

CHANGES = {  # port -> methods that change something; `leases.renew` is left out, its time is nobody's to tell
    "inbox": {"move"},
    "store": {"save", "remove"},
    "tracker": {"record"},
    "registry": {"register", "annotate", "point"},
    "releaser": {"release"},
    "leases": {"acquire", "release"},
    "cycles": {"save"},
    "journal": {"intend", "settle", "note"},
    "outbox": {"put", "forget"},
    "attic": {"remove_version", "remove_run"},
    "documents": {"put"},
    "audit": {"record"},
    "log": {"drain", "add_labels", "tidy"},
    "spans": {"take"},
}
MLFLOW = ("create_", "delete_", "finalize_", "log_", "set_", "update_")


class Effects:
    """`send` is the signal that goes out before effect number `at`, from 1; with `name` only effects of that name are counted.
    `log` gets every name."""

    def __init__(self, layers: list[str], log: str, at: int = 0, send: int = 0, name: str | None = None) -> None:
        self._layers, self._at, self._signal, self._name = layers, at, send, name
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._count = 0
        self._thread = threading.get_ident()
        self._renewing = threading.RLock()

    def watch(self) -> None:
        self._watch_renewals()
        for layer in self._layers:
            getattr(self, f"_watch_{layer}")()

    def happens(self, name: str) -> None:
        """An effect is about to happen."""
        if threading.get_ident() != self._thread:
            return  # the thread that renews the lease
        if self._name is None or self._name == name:
            self._count += 1
            if self._count == self._at:
                os.write(self._log, f"# signal {self._signal} before {name}\n".encode())
                self._send()
        os.write(self._log, f"{name}\n".encode())

    def _send(self) -> None:
        if self._signal != signal.SIGSTOP:
            os.kill(os.getpid(), self._signal)
            return
        with self._renewing:  # who is stopped in the middle of a transaction keeps SQLite's lock
            os.kill(os.getpid(), self._signal)

    def before(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.happens(name)
            return method(*arguments, **options)

        return call

    def _watch_renewals(self) -> None:
        from keepfit.adapters.ledger_leases import SqlLeases

        renew = SqlLeases.renew

        def quietly(*arguments: Any) -> Any:
            with self._renewing:
                return renew(*arguments)

        SqlLeases.renew = quietly

    def _watch_ports(self) -> None:
        from keepfit.project import OpenedPorts

        for name in ("inbox", "store", "tracker", "registry", "releaser", "log", "spans", "attic", "ledger"):
            opened = OpenedPorts.__dict__[name].func
            watched = cached_property(lambda ports, name=name, opened=opened: Watched(name, opened(ports), self))
            watched.__set_name__(OpenedPorts, name)
            setattr(OpenedPorts, name, watched)

    def _watch_mlflow(self) -> None:
        from mlflow import MlflowClient

        for name in dir(MlflowClient):
            if name.startswith(MLFLOW):
                setattr(MlflowClient, name, self.before(f"mlflow.{name}", getattr(MlflowClient, name)))

    def _watch_files(self) -> None:
        here = str(Path.cwd())

        def listen(event: str, arguments: tuple[Any, ...]) -> None:
            if event not in ("open", "os.rename", "os.remove", "os.mkdir"):
                return
            path = str(arguments[0])
            changes = event != "open" or (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR))
            if changes and path.startswith(here):
                self.happens(f"{event} {Path(path).name}")

        sys.addaudithook(listen)

    def _watch_objects(self) -> None:
        from keepfit.object_storage.store import ObjectStore

        for name in ("write", "write_new", "upload", "copy_new", "remove"):
            setattr(ObjectStore, name, self.before(f"objects.{name}", getattr(ObjectStore, name)))

    def _watch_commits(self) -> None:
        from sqlalchemy import Engine, event

        event.listen(Engine, "commit", lambda connection: self.happens(f"commit {connection.engine.url.database}"))

    def _watch_schema(self) -> None:
        from sqlalchemy import Engine, event

        def listen(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            words = statement.split(maxsplit=3)
            if words[0].upper() in ("CREATE", "ALTER", "DROP"):
                self.happens(" ".join(words[:3]))

        event.listen(Engine, "before_cursor_execute", listen)


class Watched:
    """A port whose changing methods are effects."""

    def __init__(self, name: str, port: Any, effects: Effects) -> None:
        self._name, self._port, self._effects = name, port, effects

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if self._name == "ledger" and name in CHANGES:
            return Watched(name, found, self._effects)
        if name in CHANGES.get(self._name, ()):
            return self._effects.before(f"{self._name}.{name}", found)
        return found
