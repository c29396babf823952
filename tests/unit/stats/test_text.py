"""The profile of a text column: its pieces merge to the whole, it stays small, and it holds nothing to read."""

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepfit.errors import DataError
from keepfit.stats import text as text_module
from keepfit.stats import words as words_module
from keepfit.stats.text import TextProfile, merge, text_profile
from keepfit.stats.words import FEATURES, GRID, READ, Vocabulary, bucket, features, words

texts = st.lists(st.none() | st.text(max_size=40) | st.sampled_from(["", "call me", "Call me!", "東京都です", "ok"]), max_size=30)


@given(texts, texts)
def test_the_profiles_of_two_pieces_merge_to_the_profile_of_both(one, other):
    whole = text_profile(one + other)
    assert merge(text_profile(one), text_profile(other)) == whole
    assert merge(text_profile(other), text_profile(one)) == whole


def test_pieces_merge_to_the_whole_when_the_sample_is_full(monkeypatch):
    monkeypatch.setattr(text_module, "SAMPLE", 20)
    monkeypatch.setattr(text_module, "SAMPLE_WORDS", 3)
    column = [f"text {chr(97 + number % 26)} {chr(97 + number % 7)} of {'very ' * (number % 4)}many" for number in range(200)]
    whole = text_profile(column)
    assert len(whole.texts) == 20
    assert not whole.complete
    assert whole.cut
    assert merge(merge(text_profile(column[:50]), text_profile(column[50:60])), text_profile(column[60:])) == whole


@given(texts)
def test_a_profile_survives_json(column):
    profile = text_profile(column)
    assert TextProfile.from_dict(json.loads(json.dumps(profile.to_dict()))) == profile


@given(texts)
def test_the_counts_are_those_of_counting_by_hand(column):
    profile = text_profile(column)
    filled = [text for text in column if text is not None]
    occurrences, appearances = Counter(), Counter()
    for text in filled:
        found = Vocabulary().buckets(text)
        occurrences.update(found)
        appearances.update(set(found))
    assert dict(zip(profile.words.tolist(), profile.occurrences.tolist(), strict=True)) == occurrences
    assert dict(zip(profile.words.tolist(), profile.appearances.tolist(), strict=True)) == appearances
    assert (profile.filled, profile.missing) == (len(filled), len(column) - len(filled))
    assert int(profile.copies.sum()) == len(filled)
    assert len(profile.texts) == len(set(filled))
    assert (profile.histograms.sum(axis=1) == len(filled)).all()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Don't STOP, call 0800-555!", ["don't", "stop", "call", "0800", "555"]),
        ("don’t snake_case", ["don’t", "snake", "case"]),
        ("Ｆｕｌｌ width ﬁ", ["full", "width", "fi"]),
        ("हिन्दी में लिखा", ["हिन्दी", "में", "लिखा"]),
        ("東京都 a駅", ["東京", "京都", "a", "駅"]),
        ("สวัสดี", ["".join(pair) for pair in pairwise("สวัสดี")]),
        ("ÜBER Straße", ["über", "straße"]),
        ("...!? 🙂", []),
        ("", []),
    ],
)
def test_words_of_many_scripts(text, found):
    assert words(text) == found


def test_digits_count_as_one_another_so_that_numbers_are_not_new_words():
    assert Vocabulary().buckets("call 0800 now") == Vocabulary().buckets("CALL 5731 now")


def test_the_hash_of_a_word_is_the_same_on_every_machine_and_in_every_release():
    assert [bucket("call"), bucket("東京")] == [524572, 35517]


def test_forgetting_words_changes_nothing(monkeypatch):
    column = [f"w{chr(97 + number % 26)} {chr(97 + number % 11)} again" for number in range(100)]
    before = text_profile(column)
    monkeypatch.setattr(words_module, "_KNOWN", 5)
    assert text_profile(column) == before


def test_only_the_beginning_of_a_huge_text_is_read_and_its_length_is_known():
    huge = text_profile(["word " * 2_000_000])
    assert huge.shortened == 1
    assert huge.tokens == -(-READ // 5)
    assert huge.histograms[FEATURES.index("length")].argmax() == min(int(1 + 4 * np.log2(10_000_000)), GRID - 1)


def test_a_profile_holds_no_readable_text():
    stored = json.dumps(text_profile(["my secret password is hunter"] * 3).to_dict())
    assert "secret" not in stored
    assert "hunter" not in stored


def test_features_are_what_their_names_say():
    def share(value):
        return int(np.ceil(value * (GRID - 1)))

    found = dict(zip(FEATURES, features(["Ab, c1! É"], np.array([3]))[0].tolist(), strict=True))
    assert found == {
        "length": 1 + int(4 * np.log2(9)),
        "words": 1 + int(4 * np.log2(3)),
        "word_length": 1 + int(4 * np.log2(2 * 5 / 3)),
        "letters": share(4 / 9),
        "upper_case": share(2 / 4),
        "digits": share(1 / 9),
        "spaces": share(2 / 9),
        "punctuation": share(2 / 9),
        "symbols": 0,
        "non_ascii": share(1 / 9),
        "full_stops": 0,
        "commas": share(1 / 9),
        "exclamations": share(1 / 9),
        "quotes": 0,
        "capital_start": GRID - 1,
        "sentence_end": 0,
    }


@pytest.mark.parametrize("column", [[], [None], [""], ["...", "!!"], ["\ud800 lone"], ["\x00", "\n"]])
def test_odd_columns_have_a_profile_like_any_other(column):
    profile = text_profile(column)
    assert TextProfile.from_dict(profile.to_dict()) == profile
    assert profile.filled + profile.missing == len(column)


@pytest.mark.parametrize(
    "broken",
    [
        {"words": "no array"},
        {"words": "u9:1:eJw="},
        {"documents": "many"},
        {"copies": "u1:2:eJxjZAQAAAQAAw=="},
        {"words": None},
        {"words": "u1:2:eJxjYAAAAAIAAQ=="},
    ],
)
def test_a_broken_document_is_refused(broken):
    with pytest.raises(DataError, match="stored profile of texts"):
        TextProfile.from_dict(text_profile(["call me"]).to_dict() | broken)


def test_a_stored_array_cannot_blow_up_the_memory():
    import base64
    import zlib

    bomb = base64.b64encode(zlib.compress(b"\0" * 100_000_000)).decode()
    with pytest.raises(DataError):
        TextProfile.from_dict(text_profile(["call me"]).to_dict() | {"words": f"u1:100000000:{bomb}"})


@settings(max_examples=20)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=20))
def test_profiles_of_different_columns_differ(column):
    assert text_profile(column) != text_profile([*column, "one more"])
    assert text_profile(column) != 1
