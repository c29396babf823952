"""New scam phrases are named first, and nothing is named among messages of one kind."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from keepfit.stats.patterns import Pattern, new_patterns, term_counts
from keepfit.stats.text import text_profile

DATA = Path(os.environ.get("KEEPFIT_DATA", Path(__file__).parents[4] / "shared" / "data"))
SCAMS = ("Your crypto wallet is locked, verify it at once", "Unpaid customs fee: verify your crypto wallet")


@pytest.fixture(scope="module")
def spam():
    path = DATA / "SMSSpamCollection"
    if not path.exists():
        pytest.skip(f"the SMS collection is not at {path}")
    rows = [line.split("\t", 1) for line in path.read_text(encoding="utf-8").rstrip("\n").split("\n")]
    return [text for label, text in rows if label == "spam"]


def halves(texts, seed):
    order = np.random.default_rng(seed).permutation(len(texts))
    return [texts[place] for place in order[: len(texts) // 2]], [texts[place] for place in order[len(texts) // 2 :]]


def test_nothing_is_new_in_random_halves_of_spam(spam):
    named = [new_patterns(*halves(spam, seed)) for seed in range(15)]
    assert sum(map(bool, named)) <= 1
    assert sum(bool(new_patterns(text_profile(one), other)) for one, other in (halves(spam, seed) for seed in range(15))) <= 1


def test_new_scam_phrases_are_named_first(spam):
    before, now = halves(spam, 1)
    found = new_patterns(before, now + list(SCAMS) * 20)
    assert found[0].term in ("crypto wallet", "your crypto")
    assert {"crypto wallet", "customs fee"} <= {pattern.term for pattern in found}
    assert all(set(pattern.term.split()) <= set(" ".join(term_counts(SCAMS)).split()) for pattern in found[:5])
    wallet = next(pattern for pattern in found if pattern.term == "crypto wallet")
    assert (wallet.count, wallet.reference_count) == (40, 0)
    assert [pattern.z for pattern in found] == sorted((pattern.z for pattern in found), reverse=True)


def test_a_profile_serves_as_the_reference_for_single_words(spam):
    before, now = halves(spam, 2)
    found = new_patterns(text_profile(before), now + list(SCAMS) * 20)
    assert {pattern.term for pattern in found[:3]} <= {"crypto", "wallet", "verify"}
    assert not any(" " in pattern.term for pattern in found)


def test_log_odds_are_those_of_monroe_with_a_prior_worked_out_by_hand():
    before, now = ["alpha beta"] * 30 + ["beta"] * 30, ["alpha beta"] * 50 + ["beta"] * 10 + ["gamma"] * 15
    found = {pattern.term: pattern for pattern in new_patterns(before, now)}
    assert list(found) == ["gamma"]
    n, n_before = 50 + 50 + 60 + 15, 30 + 30 + 60  # alpha, "alpha beta", beta, gamma
    total = 0.1 * n_before
    prior = total * 15 / (n + n_before)
    expected = np.log((15 + prior) / (n + total - 15 - prior)) - np.log(prior / (n_before + total - prior))
    assert found["gamma"] == Pattern(
        term="gamma",
        count=15,
        reference_count=0,
        log_odds=pytest.approx(expected),
        z=pytest.approx(-ndtri((n / (n + n_before)) ** 15)),
    )


def test_a_term_that_a_text_repeats_counts_once():
    assert term_counts(["win win win", "win now", None, ""]) == Counter({"win": 2, "win win": 1, "now": 1, "win now": 1})


def test_a_term_that_has_become_rarer_is_not_named():
    assert new_patterns(["alpha beta"] * 100, ["beta"] * 100) == ()


def test_the_longest_list_is_the_one_asked_for():
    assert len(new_patterns(["old text"] * 100, ["one two three four five six"] * 100, limit=3)) == 3


@pytest.mark.parametrize(("before", "now"), [([], []), ([], ["call me"]), (["call me"], []), (["..."], ["!"]), ([None], [None])])
def test_without_words_nothing_is_named(before, now):
    assert new_patterns(before, now) == ()
    assert new_patterns(text_profile(before), now) == ()


@given(st.lists(st.none() | st.text(max_size=20), max_size=20), st.lists(st.none() | st.text(max_size=20), max_size=20))
def test_named_terms_are_more_common_now(before, now):
    counts, counts_before = term_counts(now), term_counts(before)
    for pattern in new_patterns(before, now):
        assert (pattern.count, pattern.reference_count) == (counts[pattern.term], counts_before[pattern.term])
        assert pattern.log_odds > 0
        assert np.isfinite(pattern.z)
