"""What makes kept data reachable from elsewhere: the repository, its remote, and the commit of the pointers."""

from __future__ import annotations

import configparser
import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from keepfit.adapters.dvc_data.command import Dvc, DvcFailed
from keepfit.adapters.dvc_data.pending import Pending
from keepfit.adapters.dvc_data.repository import GitRefused, GitRepository
from keepfit.addresses import is_remote, local_path
from keepfit.errors import ConfigError
from keepfit.settings import Dvc as DvcSettings

REMOTE = "keepfit"  # the name of the remote that [data.dvc] remote sets up
BEGUN = (".dvc/config", ".dvc/.gitignore", ".dvcignore")  # what `dvc init` makes


class Publishing:
    """The project's DVC repository, and the git repository around it, if there is one."""

    def __init__(self, root: Path, settings: DvcSettings, dvc: Dvc, pending: Pending) -> None:
        self._root, self._settings, self._dvc, self._pending = root, settings, dvc, pending

    def prepare(self) -> str | None:
        """See that there is a repository, with the remote that is set; returns the name that pointers must give, None where the
        repository's default is the one."""
        git, refused = self._git()
        home = self._home(git)
        if home is not None:
            return self._name_remote(home, git) if self._settings.remote else None
        if refused:  # one without git, inside of a repository, would stay so for good
            raise ConfigError(f"DVC cannot be set up in {self._root}, since git refuses to look there: {refused}")
        subfolder = git is not None and git.top.resolve() != self._root.resolve()
        with self._named():
            self._dvc.begin(["--no-scm"] if git is None else ["--subdir"] if subfolder else [], REMOTE, self._address)
        self._pending.add(commit=BEGUN)
        return None

    def commit(self, message: str, place: str) -> tuple[str | None, tuple[str, ...]]:
        """Commit what is not committed yet; returns the commit that has `place`, and what could not be done."""
        try:
            git = GitRepository.around(self._root)
            if git is None:
                return None, ()
            if paths := self._pending.commit:
                git.commit(paths, message)
                self._pending.done(commit=paths)
            return git.last(place), ()
        except GitRefused as error:
            return None, (f"the pointers to this cycle's data were not committed: {error}. The next cycle tries again",)

    def push(self, pointers_of: Callable[[str], Sequence[str]]) -> tuple[str, ...]:
        """Push what was not pushed yet; returns what could not be done."""
        if not self._settings.push:
            return ()
        cycles = self._pending.push
        pointers = [pointer for cycle in cycles for pointer in pointers_of(cycle)]
        if not pointers:
            return ()
        remote = REMOTE if self._settings.remote else None
        try:
            self._dvc.push(pointers, remote)
        except DvcFailed as error:
            if "no remote specified" in str(error):
                return ("the data were not pushed: DVC has no remote. Name one in [data.dvc] remote, or say push = false",)
            shown = self._settings.remote or "DVC's remote"
            count = f"{len(cycles)} cycles" if len(cycles) > 1 else "this cycle"
            return (f"the data of {count} were not pushed to {shown}: {error}. The next cycle that trains makes up for it",)
        self._pending.done(push=cycles)
        return ()

    @property
    def told(self) -> str:
        """Where the data go, in words. Raises `ConfigError` where they would go nowhere, or git refuses to look at the project."""
        if self._settings.remote:
            where = f"pushed to {self._settings.remote}"
        elif (home := self._home(self._git()[0])) is not None and (default := _remotes(home)[1]) is not None:
            where = f"pushed to the repository's remote {default!r}"
        elif self._settings.push:
            raise ConfigError("DVC has no remote, so nothing would be pushed. Name one in [data.dvc] remote, or say push = false.")
        else:
            where = "with no remote"
        if refused := self._git()[1]:
            raise ConfigError(f"DVC's pointers cannot be committed, since git refuses to look at {self._root}: {refused}")
        return where if self._settings.push else f"{where.removeprefix('pushed to ')}; push = false"

    def _git(self) -> tuple[GitRepository | None, str]:
        """The repository around the project, and why git would not say."""
        try:
            return GitRepository.around(self._root), ""
        except GitRefused as error:
            return None, str(error)

    def _home(self, git: GitRepository | None) -> Path | None:
        """The folder of the DVC repository that this project belongs to: its own, or one above it in the git repository."""
        places = [self._root]
        if git is not None:
            top = git.top.resolve()
            places += [place for place in self._root.resolve().parents if place.is_relative_to(top)]
        return next((place for place in places if (place / ".dvc/config").is_file()), None)

    def _name_remote(self, home: Path, git: GitRepository | None) -> str | None:
        """Let the remote of keepfit's be where the settings say, and the default where there is none."""
        found, default = _remotes(home)
        if found is not None and default is not None and self._is_at(found, home):
            return REMOTE if default != REMOTE else None
        config = Path(os.path.relpath(home / ".dvc/config", self._root)).as_posix()
        theirs = git is not None and config not in self._pending.commit and git.has_changes(config)
        with self._named():
            self._dvc.name_remote(REMOTE, self._address, default=default is None)
        if not theirs:
            self._pending.add(commit=[config])
        return REMOTE if default not in (None, REMOTE) else None

    @property
    def _address(self) -> str:
        """A folder by its whole path, so that a clone elsewhere on this machine finds it too."""
        wanted = self._settings.remote
        return wanted if not wanted or is_remote(wanted) else str((self._root / local_path(wanted)).resolve())

    def _is_at(self, found: str, home: Path) -> bool:
        """Whether DVC's own way of writing a remote means the one that is wanted: paths are relative to its configuration."""
        if is_remote(self._address) or is_remote(found):
            return found == self._address
        return (home / ".dvc" / found).resolve() == Path(self._address)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except DvcFailed as error:
            if error.locked:
                raise
            remote = f", with [data.dvc] remote = {self._settings.remote!r}" if self._settings.remote else ""
            raise ConfigError(f"DVC cannot be set up in {self._root}{remote}: {error}") from error


def _remotes(home: Path) -> tuple[str | None, str | None]:
    """Where keepfit's remote is, and the name of the default one, by the repository's own configuration."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read([home / ".dvc/config", home / ".dvc/config.local"], encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"{home / '.dvc/config'} cannot be read: {error}") from error
    found = parser.get(f"'remote \"{REMOTE}\"'", "url", fallback=None)
    return found, parser.get("core", "remote", fallback=None)
