"""A process that has imported everything and forks a keepfit for every message it gets.

Importing MLflow and scikit-learn takes seconds, a fork milliseconds: what one child imports at first, this process imports
for those that come after. Nothing is opened and no thread started before the fork,
so each child is a process like one started by hand: it runs the command line in a project, and can be told to kill or to stop
itself at an effect (see `effects`).

Usage: warm.py SOCKET, the number of an inherited SOCK_SEQPACKET socket. A message is a JSON object (see `_in_child`) with one
descriptor: the child's number goes there, and its exit code when it has ended. When the socket is closed, everybody goes.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import socket
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    os.environ.update({"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_LOGGING_LEVEL": "WARNING"})
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who watch the children
    channel.send(b"ready")
    while True:
        message, descriptors, *_ = socket.recv_fds(channel, 1 << 16, 1)
        if not message:
            os.killpg(0, signal.SIGKILL)
        request, answers = json.loads(message), socket.socket(fileno=descriptors[0])
        if "imports" in request:
            _import(Path(request["imports"]).read_text().split())
            answers.sendall(b"done\n")
        elif os.fork() == 0:
            channel.close()
            _watch(request, answers)
        answers.close()


def _import(modules: list[str]) -> None:
    """Import what a child had imported at its end, but for the project's own."""
    for module in modules:
        with contextlib.suppress(Exception):
            import_module(module)


def _watch(request: dict[str, Any], answers: socket.socket) -> None:
    """Fork the child, wait for it, and tell both: so that a child that was killed is gone at once, and no zombie."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        answers.close()
        _in_child(request)
    answers.sendall(f"{child}\n".encode())
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    answers.sendall(f"{code}\n".encode())
    os._exit(0)


def _in_child(request: dict[str, Any]) -> None:
    """Run `arguments` of the command line, or `call` (a "module:function" of this folder and its arguments), in `folder`, with
    `environment`, as `user`. What it says goes into the files `out` and `err`, what it has imported into `modules`."""
    code = 1
    try:
        for descriptor, name in ((1, "out"), (2, "err")):
            file = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(file, descriptor)
            os.close(file)
        faulthandler.register(signal.SIGUSR1)  # says where it is, for who waits in vain
        os.environ.update(request.get("environment", {}))
        os.chdir(request["folder"])
        if user := request.get("user"):
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        if "call" in request:
            function, *arguments = request["call"]
            module, _, name = function.partition(":")
            getattr(import_module(module), name)(*arguments)
            code = 0
        else:
            code = _run(request)
        if "modules" in request:
            Path(request["modules"]).write_text("\n".join(sys.modules))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(request: dict[str, Any]) -> int:
    from keepfit.cli.main import app

    if "effects" in request:
        from effects import Effects

        Effects(**request["effects"]).watch()
    try:
        app(request["arguments"])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    main()
