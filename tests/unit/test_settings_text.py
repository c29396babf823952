from __future__ import annotations

import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit.own_data.settings_text import WIDTH, comment, key, quoted, value

values = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.text())
def test_any_text_comes_back_from_toml_as_it_was_and_takes_one_line(text) -> None:
    written = quoted(text)
    assert tomllib.loads(f"a = {written}") == {"a": text}
    assert len(written.splitlines()) == 1


@settings(deadline=None)
@given(st.text(), values)
def test_any_name_and_value_come_back_from_toml_as_they_were(name, given_value) -> None:
    assert tomllib.loads(f"{key(name)} = {value(given_value)}") == {name: given_value}


@settings(deadline=None)
@given(st.text())
def test_a_comment_never_says_anything_to_toml(text) -> None:
    lines = comment(text)
    assert tomllib.loads("\n".join(lines)) == {}
    assert len("\n".join(lines).splitlines()) == len(lines)


def test_a_long_comment_is_broken_between_words() -> None:
    lines = comment("word " * 100)
    assert len(lines) > 1
    assert max(map(len, lines)) <= WIDTH
    assert " ".join(line.removeprefix("# ") for line in lines).split() == ["word"] * 100
