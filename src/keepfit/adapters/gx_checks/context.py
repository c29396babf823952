"""The folder in which Great Expectations keeps suite, checkpoint, results and Data Docs; or, in a dry run, memory.

Nothing in the folder names an absolute path, so that the project can be moved.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from keepfit.adapters.gx_checks.rendering import MARK
from keepfit.errors import ConfigError
from keepfit.ports import Look

NAME = "keepfit"  # of data source, batch definition, validation and checkpoint
ASSET = "batches"
KEPT = 100  # runs of which results and pages are kept


@dataclass(frozen=True, kw_only=True)
class Home:
    """A suite and what runs it."""

    gx: Any
    context: Any
    suite: Any
    batches: Any  # the batch definition of a whole frame
    checkpoint: Any = None  # None: nothing is kept
    without: str = ""  # why there is no checkpoint, where there should be one

    def run(self, frame: Any, look: Look, given: Mapping[str, str]) -> tuple[Any, Sequence[Any], Path | str | None]:
        """The batch, the result of every expectation, and the page that shows them; or in words why there is none."""
        given = dict(given)
        batch = self.batches.get_batch({"dataframe": frame})
        why: Path | str | None = self.without or None
        if self.checkpoint is not None:
            try:
                self._forget_oldest()
                run = self.gx.RunIdentifier(run_name=_plain(look.name), run_time=look.now)
                done = self.checkpoint.run(batch_parameters={"dataframe": frame}, expectation_parameters=given, run_id=run)
                [(key, result)] = done.run_results.items()
                return batch, result.results, self._page(key)
            except Exception as error:  # the rows can be judged all the same; the next line says whether the suite is at fault
                why = in_a_line(error)
        return batch, batch.validate(self.suite, expectation_parameters=given).results, why

    def _page(self, key: Any) -> Path | str:
        for site in self.context.get_docs_sites_urls(resource_identifier=key):
            address = urlsplit(site["site_url"] or "")
            if address.scheme == "file" and Path(unquote(address.path)).is_file():
                return Path(unquote(address.path))
        return "no site of the context shows this run"

    def _forget_oldest(self) -> None:
        """Drop results and pages of keepfit's oldest runs, so that thousands of batches leave only the latest."""
        store = self.context.validation_results_store
        mine = [key for key in store.list_keys() if key.batch_identifier == f"{NAME}-{ASSET}"]
        for key in sorted(mine, key=lambda key: key.run_id.run_time)[: max(0, len(mine) - KEPT + 1)]:
            page = self._page(key)
            store.remove_key(key)
            if isinstance(page, Path):
                page.unlink(missing_ok=True)


def furnished(gx: Any, folder: Path, name: str, rendered: Sequence[Any]) -> Home:
    """The context in the folder with all that a run needs, made or found. Raises `OSError`, and `ConfigError` when what is
    there is broken."""
    try:
        context = gx.get_context(mode="file", context_root_dir=str(folder))
        if context.config.analytics_enabled is not False or context.variables.progress_bars is None:
            context.variables.progress_bars = {"globally": False}
            context.enable_analytics(False)
        suite = _suite(gx, context, name, rendered)
        batches = _batches(context)
        named = suite.id is not None and all(each.id is not None for each in suite.expectations)
        checkpoint = _checkpoint(gx, context, suite, batches) if named else None
    except (OSError, ConfigError):
        raise
    except Exception as error:
        raise _unusable(folder, error) from error
    without = "" if named else f"the suite {name!r} has no ids; they come with context.suites.add(suite)"
    return Home(gx=gx, context=context, suite=suite, batches=batches, checkpoint=checkpoint, without=without)


def borrowed(gx: Any, folder: Path | None, name: str, rendered: Sequence[Any]) -> Home:
    """A context in memory; the suite that somebody wrote into the folder is read from there."""
    suite = None
    if folder is not None and (folder / "great_expectations.yml").exists():
        try:
            suite = _found(gx.get_context(mode="file", context_root_dir=str(folder)), name)
        except ConfigError:
            raise
        except Exception as error:
            raise _unusable(folder, error) from error
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    if suite is None or MARK in suite.meta:
        suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=list(rendered), meta={MARK: "rendered"}))
    return Home(gx=gx, context=context, suite=suite, batches=_batches(context))


def _suite(gx: Any, context: Any, name: str, rendered: Sequence[Any]) -> Any:
    suite = _found(context, name)
    if suite is None:
        return context.suites.add(gx.ExpectationSuite(name=name, expectations=list(rendered), meta={MARK: "rendered"}))
    if MARK in suite.meta and [_facts(each) for each in suite.expectations] != [_facts(each) for each in rendered]:
        suite.expectations = list(rendered)
        suite.save()
    return suite


def _found(context: Any, name: str) -> Any:
    store = context.expectations_store  # asked first: `suites` passes over what it cannot read
    key = store.get_key(name=name, id=None)
    if not store.has_key(key):
        return None
    suite, written = context.suites.get(name), store.get(key)["expectations"]
    if len(suite.expectations) < len(written):  # what it does not know it leaves out without a word
        known = [each.expectation_type for each in suite.expectations]
        lost = next((each["type"] for each in written if each["type"] not in known), "one of its expectations")
        raise ConfigError(f"The suite {name!r} cannot be used: Great Expectations does not know {lost}")
    return suite


def _unusable(folder: Path, error: Exception) -> ConfigError:
    return ConfigError(f"{folder} is no Great Expectations context that can be used: {in_a_line(error)}")


def in_a_line(error: Exception) -> str:
    """What an error says, short."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _facts(expectation: Any) -> Any:
    config = expectation.configuration
    return config.type, config.kwargs, config.meta


def _batches(context: Any) -> Any:
    source = context.data_sources.get(NAME) if NAME in context.data_sources.all() else context.data_sources.add_pandas(NAME)
    known = {asset.name for asset in source.assets}
    asset = source.get_asset(ASSET) if ASSET in known else source.add_dataframe_asset(ASSET)
    if NAME in {each.name for each in asset.batch_definitions}:
        return asset.get_batch_definition(NAME)
    return asset.add_batch_definition_whole_dataframe(NAME)


def _checkpoint(gx: Any, context: Any, suite: Any, batches: Any) -> Any:
    """The checkpoint over this suite, made only where it is not there: making it would write the suite anew."""
    from great_expectations.checkpoint import UpdateDataDocsAction

    validations, checkpoints = context.validation_definitions, context.checkpoints
    known = next((each for each in validations.all() if each.name == NAME), None)
    if known is not None and known.suite.name != suite.name:
        if NAME in {each.name for each in checkpoints.all()}:
            checkpoints.delete(NAME)
        validations.delete(NAME)
        known = None
    if known is not None and NAME in {each.name for each in checkpoints.all()}:
        return checkpoints.get(NAME)
    validation = known or validations.add(gx.ValidationDefinition(name=NAME, data=batches, suite=suite))
    docs = UpdateDataDocsAction(name="data docs")
    return checkpoints.add(gx.Checkpoint(name=NAME, validation_definitions=[validation], actions=[docs]))


def _plain(name: str) -> str:
    """A batch's name as part of a path."""
    return re.sub(r"[^\w.=-]+", "_", name)[-100:].lstrip(".") or "batch"
