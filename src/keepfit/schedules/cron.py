"""`keepfit deploy cron`: a line for crontab that works from any folder."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from keepfit.config import Config
from keepfit.errors import ConfigError
from keepfit.schedules.times import cron_of

LOG = ".keepfit/cron.log"  # in the project
LARGEST = 10_000_000  # bytes of it; then it takes the place of cron.log.1


def line(config: Config) -> str:
    """The five fields, and a command for /bin/sh that needs neither a PATH nor a certain folder.

    It takes no lock of its own: a run takes the project's lease, which holds between several machines as well, and says who has it
    where it finds it taken. Raises `ConfigError` for a path that no such line can hold, and a schedule that cron cannot keep.
    """
    command = _command(str(config.root))
    if any(sign in command for sign in "\n\r\0\\"):
        raise ConfigError(f"{str(config.root)!r}: a line for crontab cannot hold a name with a line break or a backslash in it")
    return f"{cron_of(config.schedule)} {command.replace('%', chr(92) + '%')}"  # a bare % is a line break there, quotes or not


def _command(folder: str) -> str:
    """Everything that is said goes into the log, each run under its time. Where the folder is not there nothing is made in its
    place; that is said to cron, which mails it."""
    steps = [
        f"cd {shlex.quote(folder)}",
        "mkdir -p .keepfit",
        f"touch {LOG}",
        f"{{ [ $(wc -c < {LOG}) -lt {LARGEST} ] || mv {LOG} {LOG}.1; }}",
        f'{{ date -u; {_keepfit()} run --project {shlex.quote(folder)}; echo "exit code $?"; }} >> {LOG} 2>&1',
    ]
    return " && ".join(steps)


def _keepfit() -> str:
    """The command, by its absolute path."""
    script = Path(sys.executable).with_name("keepfit")
    found = str(script) if script.is_file() else shutil.which("keepfit")
    return shlex.quote(str(Path(found).absolute())) if found else f"{shlex.quote(sys.executable)} -m keepfit.cli.main"
