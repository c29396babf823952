"""The Python functions that a project brings along, loaded from its folder without touching sys.path for good.

Every version of the code that has prepared rows is kept by its fingerprint, so that an older champion can still be judged on
the features it was trained on.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from keepfit.errors import ConfigError, KeepfitError, ModelRefused, Unavailable, UserCodeError
from keepfit.versions import code_fingerprint, kept_sources, write_sources

if TYPE_CHECKING:
    import pandas as pd


class FolderCode:
    """The functions named 'module:function' in keepfit.toml, from `folder`; copies of their modules go to `keep`, unless
    `remembers` is off."""

    def __init__(self, folder: Path, functions: dict[str, str], keep: Path, *, remembers: bool = True) -> None:
        self._folder, self._functions, self._keep, self._remembers = folder, functions, keep, remembers
        self._modules: dict[str, ModuleType] = {}
        self._sources = self._with_imports(sorted(_modules(functions)))

    @property
    def fingerprint(self) -> str:
        return code_fingerprint(self._sources)

    @property
    def roles(self) -> tuple[str, ...]:
        """What the functions are for."""
        return tuple(self._functions)

    def sources(self) -> dict[str, str]:
        return {f"{name}.py": text for name, text in self._sources.items()}

    def prepare(self, frame: pd.DataFrame) -> pd.DataFrame:
        if "prepare" not in self._functions:
            return frame
        if self._remembers:
            self._remember()
        prepared = self.call("prepare", frame)
        import pandas as pd

        if not isinstance(prepared, pd.DataFrame):
            raise UserCodeError(f"{self._functions['prepare']} returned {type(prepared).__name__}: expected a pandas DataFrame")
        return prepared

    def at(self, fingerprint: str) -> FolderCode | None:
        folder = self._keep / fingerprint
        with _kept(self._keep):
            return FolderCode(folder, self._functions, self._keep) if folder.is_dir() else None

    def function(self, role: str) -> Any:
        """The function that keepfit.toml names for a role. Raises `ConfigError` when there is none of that name."""
        module, _, name = self._functions[role].partition(":")
        found = getattr(self._module(module), name, None)
        if not callable(found):
            raise ConfigError(f"{self._path(module)} has no function {name!r}, which keepfit.toml names for {role}")
        return found

    def load_all(self) -> None:
        """Run every module, so that classes defined there are found by name."""
        for module in self._sources:
            self._module(module)

    def call(self, role: str, *arguments: Any, **options: Any) -> Any:
        """Call the function of a role. Raises `UserCodeError` naming the line that failed."""
        function = self.function(role)
        try:
            with contextlib.redirect_stdout(sys.stderr):  # stdout is for the answer of the command line
                return function(*arguments, **options)
        except KeepfitError:
            raise
        except (Exception, SystemExit) as error:
            raise UserCodeError(
                f"{self._functions[role]} failed{_place(error, self._folder)}: {type(error).__name__}: {error}"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        """For a worker elsewhere: the functions themselves, since the folder is not there."""
        named = {role: self._functions[role].partition(":") for role in self._functions}
        carried = {module: SimpleNamespace() for module, _, _ in named.values()}
        for role, (module, _, name) in named.items():
            setattr(carried[module], name, self.function(role))
        return {**vars(self), "_modules": carried}

    def _module(self, name: str) -> ModuleType:
        if name not in self._modules:
            with self._alone():
                self._modules[name] = _load(name, self._path(name), self._folder)
        return self._modules[name]

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """While the first module is loaded, older ones of the same names are out of the way, those of another folder and those
        of this one before it was edited. Today's modules then stay; those of an earlier day make room again."""
        earlier = self._folder.is_relative_to(self._keep)
        known = sys.modules.keys() & self._sources.keys() if earlier or not self._modules else set()
        before = {name: sys.modules.pop(name) for name in known}
        try:
            yield
        finally:
            if earlier:
                for name in self._sources:
                    sys.modules.pop(name, None)
                sys.modules.update(before)

    def _with_imports(self, modules: list[str]) -> dict[str, str]:
        """The source of these modules and of all in the folder that they import, directly or not."""
        sources: dict[str, str] = {}
        waiting = list(modules)
        while waiting:
            module = waiting.pop()
            if module in sources:
                continue
            if module.partition(".")[0] in sys.stdlib_module_names:
                raise ConfigError(f"{self._path(module)} has the name of one of Python's own modules: give it another")
            sources[module] = _text(self._path(module))
            waiting += [name for name in _imported(sources[module]) if self._path(name).is_file()]
        return dict(sorted(sources.items()))

    def _path(self, module: str) -> Path:
        return self._folder / (module.replace(".", "/") + ".py")

    def _remember(self) -> None:
        folder = self._keep / self.fingerprint
        with _kept(self._keep):
            if folder.is_dir():
                return
            building = folder.with_name(f".{folder.name}.tmp")
            write_sources(self._sources, building)
            building.rename(folder)


def kept_code(folder: Path, functions: dict[str, str], fingerprint: str | None = None) -> FolderCode:
    """The code that was kept with a model version: files named as `sources` names them; anything else that lies there is not run.
    Modules of the same names that are loaded already stay as they are. Raises `ModelRefused` where the files are not those of the
    fingerprint or bear other names than modules do, `ConfigError`, `UserCodeError`."""
    sources = kept_sources(folder)
    if fingerprint is not None and (found := code_fingerprint(sources)) != fingerprint:
        raise ModelRefused(
            f"The code in {folder} is not what the version was registered with: expected the fingerprint {fingerprint}, found "
            f"{found}. It is not run. Put the artifacts of its run right, or promote another version."
        )
    with tempfile.TemporaryDirectory(prefix="keepfit-") as place:  # packages are imported from folders
        write_sources(sources, Path(place))
        return _loaded(FolderCode(Path(place), functions, Path(place), remembers=False))


def forget(folder: Path) -> None:
    """Take the modules that lie in a folder out of this process, so that another project there finds its own under these names and
    this one what is written by then. What is installed in the folder, such as an environment, stays."""
    installed = [place for place in map(Path, (*sys.path, sys.prefix)) if place != folder and place.is_relative_to(folder)]
    for name, module in list(sys.modules.items()):
        here = [place for place in _places(module) if place.is_relative_to(folder)]
        if name != "__main__" and here and not any(place.is_relative_to(other) for place in here for other in installed):
            del sys.modules[name]


def _places(module: ModuleType) -> list[Path]:
    """Where a module was loaded from; a package without a file of its own, from which folders."""
    try:
        known = object.__getattribute__(module, "__dict__")  # one that loads itself when it is asked is not asked
    except AttributeError:
        return []
    found = [known["__file__"]] if isinstance(known.get("__file__"), str) else list(known.get("__path__") or ())
    return [Path(place) for place in found if isinstance(place, str)]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{path}, which keepfit.toml names, cannot be read: {reason}") from None


def _loaded(code: FolderCode) -> FolderCode:
    for role in code.roles:
        code.function(role)
    return code


@contextlib.contextmanager
def _kept(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"{folder} cannot be used: {error.strerror}. keepfit keeps copies of code there.") from error


def _modules(functions: dict[str, str]) -> set[str]:
    return {value.partition(":")[0] for value in functions.values()}


def _imported(source: str) -> set[str]:
    """The modules that a source names in its import statements; none where it cannot be read, which loading it will tell."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def _load(name: str, path: Path, folder: Path) -> ModuleType:
    """Run a module of the project under its own name, so that what it defines can be pickled to workers and stored by name."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(folder))  # for the module's own imports from its folder
    try:
        with contextlib.redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise UserCodeError(f"{path} cannot be imported{_place(error, folder)}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(folder))
    return module


def _place(error: BaseException, folder: Path) -> str:
    """Where in the project's own files an error arose, as " in features.py, line 12"."""
    place, trace = "", error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.is_relative_to(folder):
            place = f" in {path.relative_to(folder)}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return place
