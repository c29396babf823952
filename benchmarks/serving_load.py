"""Loads over HTTP: by wrk where it is installed, otherwise by `load_client.py`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import Failed

CLIENT = Path(__file__).with_name("load_client.py")
TOOL = "wrk" if shutil.which("wrk") else "load_client.py"
SECONDS = 4.0  # of one load
WARM_UP = 1.5

# Sends the lines of a file in turn; tells what happened as JSON.
SCRIPT = """\
local requests, number = {}, 0
function init(arguments)
  for body in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("POST", nil, {["Content-Type"] = "application/json"}, body)
  end
end
function request()
  number = number % #requests + 1
  return requests[number]
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('\\n{"requests": %d, "seconds": %f, "errors": %d, "p50": %f, "p95": %f, "p99": %f}\\n',
    summary.requests, summary.duration / 1e6, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end
"""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What one load met. Latencies are milliseconds."""

    requests: int
    seconds: float
    p50: float
    p95: float
    p99: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


def write_bodies(path: Path, bodies: Sequence[Any]) -> Path:
    """One JSON document a line."""
    path.write_text("\n".join(json.dumps(body) for body in bodies) + "\n", encoding="utf-8")
    return path


def put_on(url: str, bodies: Path, connections: int, seconds: float = SECONDS, tool: str = TOOL) -> Loaded:
    """Load one address; an answer that is not 200 is a failure. Raises `Failed`."""
    if tool == "wrk":
        script = bodies.with_name("wrk.lua")
        script.write_text(SCRIPT, encoding="utf-8")
        options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s", "-s", str(script)]
        command = ["wrk", *options, url, "--", str(bodies)]
    else:
        command = [sys.executable, str(CLIENT), url, str(bodies), "--connections", str(connections), "--seconds", str(seconds)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode:
        raise Failed(f"{command[0]} returned {done.returncode}:\n{done.stderr[-2000:]}")
    told = json.loads(done.stdout.strip().splitlines()[-1])
    if told.pop("errors"):
        raise Failed(f"{url} did not answer every request with 200:\n{done.stdout[-1000:]}")
    return Loaded(**told)
