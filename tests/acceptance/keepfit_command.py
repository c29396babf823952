"""A command `keepfit` for scripts under test: each call is a real process of keepfit, forked from the one that has imported all."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.acceptance.runs import Runs

CLIENT = """#!{python} -S
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect({place!r})
    asked = {{"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
    line.sendall(json.dumps(asked).encode())
    line.shutdown(socket.SHUT_WR)
    code, out, err = json.loads(b"".join(iter(lambda: line.recv(1 << 16), b"")))
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


@contextlib.contextmanager
def keepfit_command(runs: Runs, folder: Path) -> Iterator[Path]:
    """A folder for PATH in which the command lies, and `python` beside it."""
    folder.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "line"))
        listening.listen()
        script = folder / "keepfit"
        script.write_text(CLIENT.format(python=sys.executable, place=str(folder / "line")))
        script.chmod(0o755)
        (folder / "python").symlink_to(sys.executable)
        threading.Thread(target=_serve, args=(listening, runs), daemon=True).start()
        yield folder


def _serve(listening: socket.socket, runs: Runs) -> None:
    with contextlib.suppress(OSError):  # closed
        while True:
            line, _ = listening.accept()
            with line:
                asked = json.loads(b"".join(iter(lambda line=line: line.recv(1 << 16), b"")))  # type: ignore[misc]
                done = runs.start(*asked["arguments"], folder=Path(asked["folder"]), environment=asked["environment"]).wait()
                line.sendall(json.dumps([done.code, done.out, done.err]).encode())
