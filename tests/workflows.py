"""Runs the shell steps of a GitHub workflow as the runner does: in order, in bash, with their conditions, expressions and outputs.

Steps that use an action of somebody else's are stood in for by a function of the test's, or skipped. Of the expressions only what
keepfit's workflows say is understood.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

WORDS = re.compile(r"'[^']*'|\|\||&&|[\w-]+(?:\.[\w-]+)+|\w+")
TURNED = {"||": " or ", "&&": " and ", "true": "True", "false": "False"}


@dataclass
class Job:
    """One run of the only job of a workflow in a checked-out repository."""

    workflow: Path
    folder: Path  # the repository
    temporary: Path  # of this run alone
    path: str  # PATH of the steps
    contexts: dict[str, Any] = field(default_factory=dict)  # inputs, secrets, vars, github
    environment: Mapping[str, str] = field(default_factory=dict)  # beside the workflow's own
    actions: Mapping[str, Callable[[dict[str, Any]], None]] = field(default_factory=dict)  # stand-ins, by the action's name
    before: Mapping[str, Callable[[], None]] = field(default_factory=dict)  # something that happens just before the step of a name
    steps: dict[str, Any] = field(default_factory=dict)  # what those with an id have left
    outcomes: dict[str, str] = field(default_factory=dict)  # by the steps' names
    said: dict[str, str] = field(default_factory=dict)
    failed: bool = False

    def run(self, only: str = "") -> Job:
        """All steps, or after such a run the step of one name again, which finds what the others have left."""
        self.temporary.mkdir(parents=True, exist_ok=bool(only))
        document = yaml.safe_load(self.workflow.read_text())
        ((_, job),) = document["jobs"].items()
        self._shared = {**document["env"], **job.get("env", {})}
        with tempfile.TemporaryDirectory(prefix="job-") as self._short:  # a socket's path may not be long
            for step in job["steps"]:
                if only in ("", step["name"]):
                    self._step(step)
        self.outputs = {name: self._filled(value) for name, value in job.get("outputs", {}).items()}
        return self

    @property
    def summary(self) -> str:
        path = self.temporary / "summary"
        return path.read_text() if path.exists() else ""

    @property
    def everything(self) -> str:
        return "".join(self.said.values()) + self.summary

    def _step(self, step: dict[str, Any]) -> None:
        name = step["name"]
        if name in self.before:
            self.before[name]()
        outcome, outputs = "skipped", {}
        if self._wanted(step.get("if")):
            worked, outputs = self._use(step) if "uses" in step else self._shell(step)
            outcome = "success" if worked else "failure"
            self.failed |= not worked
        self.outcomes[name] = outcome
        if "id" in step:
            self.steps[step["id"]] = {"outcome": outcome, "outputs": outputs}

    def _wanted(self, condition: str | None) -> bool:
        if condition is None:
            return not self.failed
        return bool(self._value(condition)) and ("always()" in condition or not self.failed)

    def _use(self, step: dict[str, Any]) -> tuple[bool, dict[str, str]]:
        stand_in = self.actions.get(step["uses"].partition("@")[0], lambda given: None)
        stand_in({key: self._filled(value) for key, value in step.get("with", {}).items()})
        return True, {}

    def _shell(self, step: dict[str, Any]) -> tuple[bool, dict[str, str]]:
        number = len(self.outcomes)
        files = {name: self.temporary / f"{name}-{number}" for name in ("script", "output")}
        files |= {name: self.temporary / name for name in ("env", "summary")}
        files["script"].write_text(self._filled(step["run"]))
        files["output"].touch()
        environment = {
            "PATH": self.path,
            "HOME": str(self.temporary),
            "RUNNER_TEMP": str(self.temporary),
            "TMPDIR": self._short,
            "GITHUB_RUN_ID": "77",
            "GITHUB_SHA": "0123456789abcdef0123456789abcdef01234567",
            "GITHUB_OUTPUT": str(files["output"]),
            "GITHUB_ENV": str(files["env"]),
            "GITHUB_STEP_SUMMARY": str(files["summary"]),
            **self.environment,
        }
        environment |= {name: self._filled(value) for name, value in {**self._shared, **step.get("env", {})}.items()}
        environment |= _pairs(files["env"])
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(files["script"])],
            cwd=self.folder,
            env=environment | dict(self.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=120,
        )
        self.said[step["name"]] = done.stdout
        return done.returncode == 0, _pairs(files["output"])

    def _filled(self, text: Any) -> str:
        def shown(found: re.Match[str]) -> str:
            value = self._value(found[1])
            return str(value).lower() if isinstance(value, bool) else str(value or "")

        return re.sub(r"\$\{\{(.*?)\}\}", shown, str(text))

    def _value(self, expression: str) -> Any:
        def turned(found: re.Match[str]) -> str:
            word = found[0]
            return TURNED.get(word) or (f"look({word!r})" if "." in word and not word.startswith("'") else word)

        python = WORDS.sub(turned, expression.strip())
        return eval(python, {"__builtins__": {}, "look": self._look, "always": lambda: True})  # noqa: S307 - of our own file

    def _look(self, name: str) -> Any:
        found: Any = {**self.contexts, "steps": self.steps}
        for part in name.split("."):
            found = found.get(part, "") if isinstance(found, dict) else ""
        return found


def _pairs(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines() if path.exists() else []
    return dict(line.split("=", 1) for line in lines)


def steps_of(workflow: Path) -> list[dict[str, Any]]:
    """All steps of the only job."""
    ((_, job),) = yaml.safe_load(workflow.read_text())["jobs"].items()
    return list(job["steps"])


def path_with(*folders: Path) -> str:
    """PATH with these first."""
    return os.pathsep.join([*map(str, folders), "/usr/local/bin", "/usr/bin", "/bin"])
