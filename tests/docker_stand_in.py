"""Stands in for the command `docker`, which needs a daemon: enough of it to build, try and push the image of keepfit's Dockerfile.

Nothing is isolated and nothing is installed. Of the Dockerfile the COPYs are made into a folder, with .dockerignore kept to; RUN is
run where it begins with python and noted otherwise; CMD is what is started, with the image's folder in place of / and the
published port in place of its own. The registry is a folder too.

Usage: docker_stand_in.py ARGUMENTS, with the folder of images, registry and notes in DOCKER_STAND_IN.
"""

from __future__ import annotations

import contextlib
import fnmatch
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

PLACE = Path(os.environ.get("DOCKER_STAND_IN", "."))


def main(arguments: list[str]) -> None:
    with (PLACE / "notes").open("a") as notes:
        notes.write(json.dumps(arguments) + "\n")
    verb = "_".join(arguments[:2]) if arguments[0] in ("manifest", "image") else arguments[0]
    globals()[verb](arguments[len(verb.split("_")) :])


def login(arguments: list[str]) -> None:
    assert sys.stdin.read(), "the password comes on standard input"


def manifest_inspect(arguments: list[str]) -> None:
    if (PLACE / "registry-is-away").exists():
        sys.exit("Get https://registry: dial tcp: connection refused")
    if not _kept("registry", arguments[0]).exists():
        sys.exit(f"no such manifest: {arguments[0]}")


def pull(arguments: list[str]) -> None:
    shutil.copyfile(_kept("registry", arguments[-1]), _kept("images", arguments[-1]))


def push(arguments: list[str]) -> None:
    shutil.copyfile(_kept("images", arguments[-1]), _kept("registry", arguments[-1]))


def image_inspect(arguments: list[str]) -> None:
    (label,) = re.findall(r'index \.Config\.Labels "([\w.]+)"', arguments[1])
    sys.stdout.write(json.loads(_kept("images", arguments[-1]).read_text())["labels"][label] + "\n")


def build(arguments: list[str]) -> None:
    given = dict(each.split("=", 1) for each in _after("--build-arg", arguments))
    root = PLACE / f"root-{len(list(PLACE.glob('root-*')))}"
    image: dict[str, Any] = {"root": str(root), "labels": {}, "skipped": [], "ran": []}
    known: dict[str, str] = {}
    (dockerfile,) = _after("--file", arguments) or ["Dockerfile"]
    for word, rest in instructions(Path(arguments[-1]) / dockerfile):
        if word == "ARG":
            name, _, default = rest.partition("=")
            known[name] = given.get(name, "".join(shlex.split(default)))
        elif word == "LABEL":
            filled = re.sub(r"\$(\w+)", lambda found: known[found[1]], rest)
            image["labels"] |= dict(each.split("=", 1) for each in shlex.split(filled))
        elif word == "COPY":
            _copy(Path(arguments[-1]), *json.loads(rest.removeprefix("--chown=keepfit ")), root=root)
        elif word == "RUN" and rest.startswith("python "):
            subprocess.run(["bash", "-c", rest.replace("/app/", f"{root}/app/")], check=True, env=os.environ | known)
            image["ran"].append(rest)
        elif word == "RUN":
            image["skipped"].append(rest)
        elif word == "CMD":
            image["command"] = json.loads(rest)
    for tag in _after("--tag", arguments):
        _kept("images", tag).write_text(json.dumps(image))


def run(arguments: list[str]) -> None:
    image = json.loads(_kept("images", arguments[-1]).read_text())
    (name,), (published,) = _after("--name", arguments), _after("--publish", arguments)
    host, port, inside = published.split(":")
    root, everywhere = image["root"], "0.0.0.0"  # noqa: S104 - it is replaced
    turned = {"/app": f"{root}/app", "/app/model": f"{root}/app/model", everywhere: host, inside: port}
    environment = os.environ | dict(each.split("=", 1) for each in _after("--env", arguments))
    environment["PATH"] = os.environ["DOCKER_STAND_IN_PATH"]
    with (PLACE / f"{name}.log").open("w") as log:
        command = [turned.get(each, each) for each in image["command"]]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd="/", start_new_session=True)
    (PLACE / f"{name}.pid").write_text(str(process.pid))


def logs(arguments: list[str]) -> None:
    sys.stdout.write((PLACE / f"{arguments[0]}.log").read_text())


def rm(arguments: list[str]) -> None:
    end(PLACE / f"{arguments[-1]}.pid")


def end(started: Path) -> None:
    """End what `run` has started."""
    if started.exists():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(started.read_text()), signal.SIGKILL)
        started.unlink()


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """The lines of a Dockerfile as instruction and rest."""
    text = re.sub(r"\\\n\s*", "", dockerfile.read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def _copy(context: Path, *places: str, root: Path) -> None:
    *sources, target = places
    lines = [line for line in (context / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*", "everything is left out but for what is named"
    let_in = [line.removeprefix("!") for line in lines[1:]]
    for source in sources:
        for found in sorted(context.glob(source)):
            name = found.relative_to(context).as_posix()
            assert any(fnmatch.fnmatch(name, each) or name.startswith(f"{each}/") for each in let_in), f"{name} is left out"
            place = root / target.lstrip("/")
            place = place / found.name if target.endswith("/") else place
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(found, place) if found.is_dir() else shutil.copyfile(found, place)


def _after(flag: str, arguments: list[str]) -> list[str]:
    return [value for name, value in itertools.pairwise(arguments) if name == flag]


def _kept(kind: str, tag: str) -> Path:
    folder = PLACE / kind
    folder.mkdir(exist_ok=True)
    return folder / re.sub(r"\W", "-", tag)


if __name__ == "__main__":
    main(sys.argv[1:])
