"""What every store of prepared frames does. Subclass it in your tests and override the fixture `store`."""
# ruff: noqa: S101  # these are tests, shipped so that other people's stores can run them

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keepfit.errors import DataError
from keepfit.ports import Store


class StoreContract:
    """Run on every store. It is empty."""

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError("override the fixture `store`")

    def test_a_frame_comes_back_with_its_facts(self, store: Store) -> None:
        frame = _frame(x=[1.0, None], y=["a", None])
        assert store.facts("a") is None
        store.save("a", frame, {"rows": 2, "columns": ["x"], "said": "ü"})
        assert store.facts("a") == {"rows": 2, "columns": ["x"], "said": "ü"}
        assert store.load(["a"]).equals(frame)
        assert store.load(["a"], ["y"]).columns == ["y"]

    def test_what_is_there_is_never_written_again(self, store: Store) -> None:
        store.save("a", _frame(x=[1, 2]), {"first": True})
        store.save("a", _frame(x=[1]), {"first": False})
        assert (store.load(["a"]).height, store.facts("a")) == (2, {"first": True})

    def test_a_frame_may_be_empty(self, store: Store) -> None:
        store.save("columns", _frame(), {"columns": {}})
        assert store.facts("columns") == {"columns": {}}

    def test_frames_come_one_below_the_other_in_the_order_asked_for(self, store: Store) -> None:
        store.save("a", _frame(x=[1.0]), {})
        store.save("b", _frame(x=[2.0], new=["n"]), {})
        assert store.load(["b", "a"]).rows() == [(2.0, "n"), (1.0, None)]
        assert store.load([]).height == 0

    def test_many_frames_are_loaded_in_order(self, store: Store) -> None:
        names = [f"rows-{number:02d}" for number in range(20)]
        for number, name in enumerate(names):
            store.save(name, _frame(x=[number]), {})
        assert store.load(reversed(names))["x"].to_list() == list(reversed(range(20)))

    def test_a_missing_frame_is_told(self, store: Store) -> None:
        store.save("a", _frame(x=[1]), {})
        with pytest.raises(DataError, match="gone"):
            store.load(["a", "gone"])

    def test_what_is_kept_is_told_with_its_size_and_date(self, store: Store) -> None:
        assert list(store.kept()) == []
        for name in ("b", "a"):
            store.save(name, _frame(x=[1, 2]), {"rows": 2})
        found = store.kept()
        assert [each.name for each in found] == ["a", "b"]
        assert all(each.size > 0 for each in found)
        assert all(abs(each.at - datetime.now(UTC)) < timedelta(hours=1) for each in found)

    def test_what_is_removed_is_gone_and_may_be_saved_anew(self, store: Store) -> None:
        store.save("a", _frame(x=[1]), {"first": True})
        for _ in range(2):
            store.remove("a")
        assert (store.facts("a"), list(store.kept())) == (None, [])
        store.save("a", _frame(x=[1, 2]), {"first": False})
        assert (store.load(["a"]).height, store.facts("a")) == (2, {"first": False})


def _frame(**columns: Any) -> Any:
    import polars as pl

    return pl.DataFrame(columns)
