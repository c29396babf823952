"""A cold cycle, from validation to archive, against the same steps glued from four tools."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from benchmarks import measure, projects
from benchmarks.measure import KEEPFIT, Command, Failed, Limit, Row, Timing

SCRIPT = Path(__file__).with_name("glued_cycle.py")

# The economies of --fast that are made by environment: no task hashes its inputs, log lines stay on the terminal, and the
# temporary server does only what a single flow needs of it.
FAST = {
    "PREFECT_TASKS_DEFAULT_NO_CACHE": "true",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_ENABLED": "false",
}


def rows(repeat: int) -> list[Row]:
    """Both begin with a champion of the first half of the messages and the second half in the inbox."""
    messages = projects.sms_messages()
    measure.need_keepfit()
    measure.need_peers()
    half = len(messages) // 2
    with measure.workplace() as place:
        ours = prepare_keepfit(place / "keepfit", messages[:half], messages[half:])
        theirs = prepare_glued(place / "glued", messages[:half], messages[half:])
        commands = {"keepfit": ours, **theirs}
        timings = measure.in_turn(commands, repeat)
    mine = timings.pop("keepfit")
    return [
        Row(
            what=f"cold cycle, {len(messages) - half:,} new messages",
            keepfit=mine.seconds,
            peer=timing.seconds,
            against=name,
            parts={"keepfit": projects.document(mine.output).get("timings", {}), "peer": steps(timing)},
            bar=Limit(share=1 / 4) if name == AS_DOCUMENTED else None,
            aim=Limit(share=1 / 5) if name == AS_DOCUMENTED else None,
        )
        for name, timing in timings.items()
    ]


def prepare_keepfit(folder: Path, first: projects.Messages, second: projects.Messages) -> Command:
    inbox = projects.make_project(folder)
    projects.write_messages(inbox / "first.csv", first)
    command = Command(arguments=[KEEPFIT, "run", "--json"], folder=folder, check=projects.promoted)
    measure.say("  making keepfit's champion")
    measure.run(command)
    projects.write_messages(inbox / "second.csv", second)
    return Command(arguments=command.arguments, folder=folder, around=fresh(folder), check=projects.promoted)


AS_DOCUMENTED = "glued, as the four document it"


def prepare_glued(folder: Path, first: projects.Messages, second: projects.Messages) -> dict[str, Command]:
    """The variants of the script, all from the same champion."""
    projects.write_messages(folder / "inbox" / "first.csv", first)
    measure.say("  making the glued script's champion")
    state = {"PREFECT_HOME": str(folder / "prefect")}

    def variant(*flags: str, around: Around | None = None, **environment: str) -> Command:
        return Command(
            arguments=[sys.executable, str(SCRIPT), str(folder), *flags],
            folder=folder,
            environment={**state, **environment},
            around=around or fresh(folder),
            check=projects.promoted,
        )

    measure.run(variant(around=nullcontext))
    projects.write_messages(folder / "inbox" / "second.csv", second)
    pristine = fresh(folder)
    return {
        AS_DOCUMENTED: variant(around=pristine),
        "glued, every easy economy": variant("--fast", around=pristine, **FAST),
        "… and no drift report": variant("--fast", "--no-drift", around=pristine, **FAST),
        "… and a Prefect server kept running": variant("--fast", around=with_server(folder, pristine), **FAST),
    }


Around = Callable[[], AbstractContextManager[Mapping[str, str] | None]]


def fresh(folder: Path) -> Around:
    """The folder as it is now, put back before every run: at the same place, since MLflow's database holds absolute paths."""
    kept = folder.with_name(f"{folder.name}-pristine")
    shutil.copytree(folder, kept)

    @contextmanager
    def restored() -> Iterator[None]:
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        yield

    return restored


def with_server(folder: Path, restored: Around) -> Around:
    """A Prefect server that was started beforehand, outside the time."""

    @contextmanager
    def serving() -> Iterator[Mapping[str, str]]:
        with restored():
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            environment = {**measure.environment_of(folder), **FAST, "PREFECT_HOME": str(folder / "prefect")}
            server = subprocess.Popen(
                [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
                cwd=folder,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                wait_for(f"http://127.0.0.1:{port}/api/health", server)
                yield {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
            finally:
                server.terminate()
                server.wait(timeout=60)

    return serving


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if server.poll() is not None:
            raise Failed(f"the Prefect server ended with {server.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310 (http, to this machine)
                return
        except OSError:
            time.sleep(0.1)
    raise Failed("the Prefect server did not answer within a minute")


def steps(timing: Timing) -> dict[str, float]:
    """The script's own account of the run that is shown, and what passed after it: Prefect's server and the interpreter end."""
    seconds: dict[str, float] = projects.document(timing.output)["seconds"]
    return {**seconds, "end of the process": timing.shown - sum(seconds.values())}
