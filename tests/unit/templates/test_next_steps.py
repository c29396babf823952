"""What is said after `keepfit init` can be pasted into a shell."""

from __future__ import annotations

import shlex
from pathlib import Path

from keepfit.templates import copy_template


def test_a_folder_with_a_space_in_its_name_is_quoted(tmp_path: Path) -> None:
    folder = tmp_path / "my project"
    commands = [step.partition("keepfit ")[2] for step in copy_template("churn", folder) if "keepfit " in step]
    assert [shlex.split(each)[:3] for each in commands] == [
        [verb, "--project", str(folder)] for verb in ("simulate", "run", "explain")
    ]
