"""A real Chromium for the pages that people look at."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")


def find_browser() -> str:
    """Its program; skips the test where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None or sys.platform != "linux":
        pytest.skip(f"none of {', '.join(NAMES)} is installed here")
    return found


def seen(browser: str, url: str, profile: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """The page as it stands when its scripts have run."""
    place = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}"]
    patience = "--virtual-time-budget=10000"
    command = [browser, *place, *QUIET, "--hide-scrollbars", patience, *flags, "--dump-dom", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)
