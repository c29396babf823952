"""`keepfit deploy github`: two workflows, and the image that the second one builds. Their texts lie in the folder github/."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath

from keepfit import __version__
from keepfit.config import Config
from keepfit.cron_fields import read
from keepfit.cycle import NAMES
from keepfit.errors import ConfigError
from keepfit.schedules.times import cron_of

TEXTS = Path(__file__).parent / "github"
BRANCH = "keepfit-state"  # holds what a run must remember
LONGEST = 350  # minutes; GitHub ends a job after 360
SHORTEST = 5  # minutes from one run to the next that GitHub keeps
DELIVERY = "cd_pipeline.yml"
PLAIN = re.compile(r"[\w./ -]+", re.ASCII)  # what a folder may be called, to be named in a workflow and a Dockerfile
MAIL = ("SLACK_WEBHOOK_URL", "SMTP_SERVER", "SMTP_PORT", "SMTP_USER", "SMTP_PASSWORD", "ALERT_EMAIL", "ALERT_FROM")
SERVER = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
DVC = ("data-versions", ".dvc/config", ".dvc/.gitignore", ".dvcignore")  # pointers and what finds their files; no cache
BUCKET = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL")


def files(config: Config, out: Path | None = None, name: str = "") -> dict[Path, str]:
    """The texts by their paths in the repository `out`; without one, in the git repository that the project lies in, or in the
    project's folder where there is none. `name` becomes a part of the files' names, for a second project in one repository.

    Raises `ConfigError` for a project that lies elsewhere or whose state does, and for a schedule that GitHub does not keep.
    """
    root = out.absolute() if out is not None else _repository(config.root)
    suffix = f"-{_slug(name)}" if name else ""
    values = _values(config, _below(config.root, root, f"The project {config.root}"), suffix)
    places = {
        f".github/workflows/monitor-and-retrain{suffix}.yml": "monitor-and-retrain.yml",
        f".github/workflows/{_workflow(config, suffix)}": DELIVERY,
        values["DOCKERFILE"]: "Dockerfile",
        f"{values['DOCKERFILE']}.dockerignore" if name else ".dockerignore": "dockerignore",
    }
    return {root / place: _filled(text, values) for place, text in places.items()}


def next_steps(config: Config) -> str:
    """What a person has to do besides, in words."""
    steps = ["Commit them and push. Actions runs the loop by its schedule, and by hand under `monitor and retrain`."]
    steps.append(f"GitHub's clock is UTC. It keeps no distance below {SHORTEST} minutes, and may be late when it is busy.")
    if not config.release.github.enabled:
        steps.append("For a promotion to deliver an image, set the repository's variable ENABLE_CD_TRIGGER to true.")
    steps.append(
        f"The branch {BRANCH}, or {BRANCH}-PROJECT, will hold data and models: whoever can read the repository can read them."
    )
    return "\n".join(steps)


def _repository(folder: Path) -> Path:
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)


def _workflow(config: Config, suffix: str) -> str:
    name = config.release.github.workflow
    named = name.endswith((".yml", ".yaml")) and name != DELIVERY  # it may be named by its number as well
    return name if named else DELIVERY.replace(".yml", f"{suffix}.yml")


def _values(config: Config, project: str, suffix: str) -> dict[str, str]:
    """What stands for each @WORD@. What goes into YAML and JSON is quoted for both."""
    name, github = config.project.name, config.deploy.github
    extras = _extras(config)
    zone = config.schedule.time_zone
    shown = "" if project == "." else f"{project}/"
    owner = f'"{name}"' if project == "." else f'"{name}" in {project}'
    return {
        "OWNER": owner,
        "WORKFLOW": _workflow(config, suffix),
        "DOCKERFILE": f"Dockerfile{suffix.replace('-', '.', 1)}",
        "MONITOR_NAME": json.dumps(f"{name}: monitor and retrain"),
        "CD_NAME": json.dumps(f"{name}: deliver the model"),
        "GROUP": json.dumps(f"keepfit-{name}"),
        "CD_GROUP": json.dumps(f"keepfit-{name}-delivery"),
        "CRON": json.dumps(_cron(config)),
        "ZONE_NOTE": "" if zone == "UTC" else f"; GitHub knows no other zone, so [schedule] time_zone = {zone} is not followed",
        "PROJECT": json.dumps(project),
        "BRANCH": BRANCH if project == "." else f"{BRANCH}-{_slug(name)}",
        "STATE_PATHS": _indented("\n".join(_state(config)), 4),
        "RELEASE": _release(config, suffix),
        "REPOSITORY_STEP": "" if config.release.github.owner else (TEXTS / "repository.yml").read_text(encoding="utf-8"),
        "SECRETS": _secrets(config, (*MAIL, *SERVER)),
        "CD_SECRETS": _secrets(config, SERVER),
        "MINUTES": str(_minutes(config)),
        "PYTHON": json.dumps(github.python),
        "PYTHON_PLAIN": github.python,
        "KEEPFIT": json.dumps(_requirement(extras)),
        "CD_KEEPFIT": json.dumps(_requirement({"serve", *extras})),
        "SERVE": json.dumps(_requirement({"serve", *extras & {"lightgbm", "postgres", "s3"}})),
        "IMAGE": json.dumps(github.image or f"ghcr.io/${{{{ github.repository }}}}{'' if project == '.' else '/' + _slug(name)}"),
        "REPORTS": json.dumps(str(PurePosixPath(project) / config.reports.folder)),
        "SYSTEM": _system(config),
        "REQUIREMENTS": ", ".join(json.dumps(f"{shown}{each}") for each in ("keepfit.toml", "requirements*.txt")),
        "SETTINGS": json.dumps(f"{shown}keepfit.toml"),
        "IGNORED": "\n".join(f"!{shown}{each}" for each in ("keepfit.toml", "requirements*.txt")),
        "RESTORE": _indented((TEXTS / "restore.sh").read_text(encoding="utf-8"), 10),
        "SAVE": _indented((TEXTS / "save.sh").read_text(encoding="utf-8"), 10),
    }


def _slug(name: str) -> str:
    """The name of a project as a part of the names of branches and images."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "project"


def _filled(name: str, values: dict[str, str]) -> str:
    """The text in one pass, so that nothing which is filled in is filled in again."""
    text = (TEXTS / name).read_text(encoding="utf-8")
    return re.sub(r"@([A-Z_]+)@", lambda found: values[found[1]], text)


def _cron(config: Config) -> str:
    fields = cron_of(config.schedule)
    found = read(fields)
    minutes = [*found.minutes, *([found.minutes[0] + 60] if _follow_each_other(found.hours) else [])]
    if any(later - earlier < SHORTEST for earlier, later in pairwise(minutes)):
        raise ConfigError(f"[schedule] says {fields!r}, and GitHub runs nothing more often than every five minutes.")
    if "7" in re.split(r"[,/-]", fields.split()[4]):
        raise ConfigError(f"[schedule] says {fields!r}, and GitHub counts the days of the week from 0 to 6: say sun, or 0.")
    return fields


def _follow_each_other(hours: Sequence[int]) -> bool:
    return any((hour + 1) % 24 in hours for hour in hours)


def _minutes(config: Config) -> int:
    """Time for every stage as often as it may be tried, as far as GitHub gives it."""
    return min(LONGEST, math.ceil(sum(config.deploy.of(stage)[2].total_seconds() for stage in NAMES) / 60) + 10)


def _state(config: Config) -> list[str]:
    """The paths below the project that the next run needs; what has a URL keeps itself."""
    data, tracking = config.data, config.tracking
    named = [".keepfit", data.inbox, data.archive, data.quarantine, config.reports.folder, config.serve.log.url]
    if data.versioning == "dvc":
        named += [*DVC, *([data.dvc.remote] if data.dvc.remote and data.dvc.push else [])]
    named += [tracking.artifacts] if not tracking.url.startswith(("http://", "https://")) else []
    prefix = "sqlite:///"
    databases = [config.url(url) for url in (config.ledger.url, tracking.url) if url.startswith(prefix)]
    named += [url.removeprefix(prefix) for url in databases]
    paths = [_below(config.path(each), config.root, f"{each!r}") for each in named if "://" not in each]
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(path == each or path.startswith(f"{each}/") for each in kept):
            kept.append(path)
    return kept


def _below(path: Path, root: Path, what: str) -> str:
    """The path as it is named from `root`."""
    try:
        named = path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        raise ConfigError(
            f"{what} lies outside {root}, and GitHub's runner gets nothing else: move it there, or give it a URL."
        ) from None
    if not PLAIN.fullmatch(named) or named.startswith("-"):
        raise ConfigError(f"{what} is called {named!r}: for a workflow a name may have letters, digits, spaces and . _ - only.")
    return named


def _extras(config: Config) -> set[str]:
    """The optional parts of keepfit that a run of this project needs."""
    dvc = config.data.versioning == "dvc"
    urls = [config.data.inbox, config.data.archive, config.serve.log.url, config.tracking.artifacts]
    urls += [config.data.dvc.remote] if dvc else []
    needed = {
        "postgres": config.ledger.url.startswith("postgres"),
        "lightgbm": any("lightgbm" in (each.estimator or "") for each in config.train.candidates),
        "great-expectations": config.validation.engine == "great_expectations",
        "evidently": config.reports.evidently,
        "s3": any(url.startswith("s3://") for url in urls),
        "dvc": dvc,
    }
    return {extra for extra, wanted in needed.items() if wanted}


def _requirement(extras: set[str]) -> str:
    named = f"[{','.join(sorted(extras))}]" if extras else ""
    return f"keepfit{named}=={__version__}"


def _release(config: Config, suffix: str) -> str:
    """Whether a promotion is announced, and to which workflow."""
    workflow = _workflow(config, suffix)
    lines = [f"# A promotion starts {workflow} where [release.github] or the variable ENABLE_CD_TRIGGER of the repository says so."]
    lines += ["ENABLE_CD_TRIGGER: ${{ vars.ENABLE_CD_TRIGGER }}"]
    if config.release.github.workflow == DELIVERY != workflow:
        lines += [f"KEEPFIT_RELEASE__GITHUB__WORKFLOW: {workflow}"]
    return _indented("\n".join(lines), 2)


def _secrets(config: Config, names: tuple[str, ...]) -> str:
    wanted = [*names]
    if "s3" in _extras(config):
        wanted += BUCKET
    if config.ledger.url.startswith("postgres"):
        wanted += ["KEEPFIT_LEDGER__URL"]
    return _indented("\n".join(f"{each}: ${{{{ secrets.{each} }}}}" for each in wanted), 2)


def _system(config: Config) -> str:
    if "lightgbm" not in _extras(config):
        return ""
    packages = "apt-get install --yes --no-install-recommends libgomp1"
    return f"RUN apt-get update && {packages} && rm -rf /var/lib/apt/lists/*\n"


def _indented(text: str, by: int) -> str:
    return "\n".join(" " * by + line if line else "" for line in text.splitlines())
