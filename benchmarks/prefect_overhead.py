"""The same cycle of churn plainly in one process and as a Prefect flow on a server that runs: what Prefect adds."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from benchmarks import measure, projects
from benchmarks.cold_cycle import fresh, wait_for
from benchmarks.measure import KEEPFIT, Command, Failed, Limit, Row, Skipped

PLAIN, FLOW = "keepfit run", "as a Prefect flow"

# What a worker's process does; the run's own time is Prefect's count of it.
SCRIPT = """\
import json, sys
from prefect.client.orchestration import get_client
from keepfit.schedules.prefect_flow import automated_retraining

state = automated_retraining(sys.argv[1], return_state=True)
with get_client(sync_client=True) as client:
    run = client.read_flow_run(state.state_details.flow_run_id)
print(json.dumps({"outcome": (state.name or "").lower(), "reason": state.message, "seconds": run.total_run_time.total_seconds()}))
"""


def rows(repeat: int) -> list[Row]:
    """A champion of ten days, and three days on which customers leave for other reasons: both train and promote."""
    measure.need_keepfit()
    if find_spec("prefect") is None:
        raise Skipped("prefect is not installed: use `make bench`")
    with measure.workplace() as place:
        folder = make_churn(place / "churn")
        pristine = fresh(folder)
        with server(place / "prefect") as environment:
            commands = {
                PLAIN: Command(arguments=[KEEPFIT, "run", "--json"], folder=folder, around=pristine, check=projects.promoted),
                FLOW: Command(
                    arguments=[sys.executable, "-c", SCRIPT, str(folder)],
                    folder=folder,
                    environment=environment,
                    around=pristine,
                    check=projects.promoted,
                ),
            }
            taken: dict[str, list[float]] = {PLAIN: [], FLOW: [], "flow run": []}
            for number in range(-1, repeat):  # a first round fills the caches of the file system and the server's
                for name, command in commands.items():
                    seconds, output = measure.run(command)
                    measure.say(f"  {name}: {seconds:.2f} s" + (" (warming up)" if number < 0 else ""))
                    if number < 0:
                        continue
                    taken[name].append(seconds)
                    if name == FLOW:
                        taken["flow run"].append(float(projects.document(output)["seconds"]))
    plain = tuple(taken[PLAIN])
    return [
        Row(
            what="churn cycle, the flow run",
            keepfit=tuple(taken["flow run"]),
            peer=plain,
            against="`keepfit run`, the whole process",
            bar=Limit(more=2),
        ),
        Row(what="churn cycle, the flow's process", keepfit=tuple(taken[FLOW]), peer=plain, against="`keepfit run`"),
    ]


def make_churn(folder: Path) -> Path:
    """The template with a champion of ten days and three drifted ones in its inbox."""
    measure.say("  making the champion")
    simulate = [KEEPFIT, "simulate", "--project", str(folder), "--start"]
    folder.mkdir()
    for command in (
        [KEEPFIT, "init", "churn", str(folder)],
        [*simulate, "2026-01-01", "--days", "10"],
        [KEEPFIT, "run", "--project", str(folder)],
        [*simulate, "2026-01-12", "--days", "3", "--concept-drift-from", "2026-01-12"],
    ):
        measure.run(Command(arguments=command, folder=folder))
    return folder


@contextmanager
def server(folder: Path) -> Iterator[Mapping[str, str]]:
    """A Prefect server with its usual services, whose start does not count."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = {"PREFECT_HOME": str(folder / "home")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env={**measure.environment_of(folder), **home},
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/api/health", process)
        yield {**home, "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failed("the Prefect server did not end within a minute") from None
