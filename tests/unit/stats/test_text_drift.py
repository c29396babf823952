"""Texts of one kind are no drift at any size, a tenth of another kind is; every undefined case is None."""

import csv
import math
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from keepfit.stats import text as text_module
from keepfit.stats.text import text_profile
from keepfit.stats.text_drift import EFFECTS, at_least, reachable, text_drift
from keepfit.stats.words import FEATURES, features, text_key, words

DATA = Path(os.environ.get("KEEPFIT_DATA", Path(__file__).parents[4] / "shared" / "data"))


def drift(reference, current, **more):
    return {measure.name: measure for measure in text_drift(text_profile(reference), text_profile(current), **more)}


def overall(measures):
    """The smallest p-value of the measures whose score counts, for all of them together."""
    counting = [measure.p_value for measure in measures if measure.p_value is not None and measure.score >= EFFECTS[measure.name]]
    return min(1.0, len(measures) * min(counting, default=1.0))


def alarmed(reference, current):
    return overall(text_drift(text_profile(reference), text_profile(current))) <= 0.01


def written(generator, count, letters="abcdefghij"):
    """Texts whose words follow Zipf's law; a third of them end with a full stop."""
    shares = 1 / np.arange(1, 401)
    vocabulary = ["".join(generator.permutation(list(letters))[:4]) for _ in range(400)]
    lengths = generator.integers(3, 20, count)
    drawn = generator.choice(400, size=int(lengths.sum()), p=shares / shares.sum())
    parts = np.split(drawn, np.cumsum(lengths)[:-1])
    return [" ".join(vocabulary[word] for word in part) + "." * (len(part) % 3 == 0) for part in parts]


# -------------------------------------------------------------------------------------------------------- the real messages


@pytest.fixture(scope="module")
def messages():
    path = DATA / "SMSSpamCollection"
    if not path.exists():
        pytest.skip(f"the SMS collection is not at {path}")
    return [line.split("\t", 1)[1] for line in path.read_text(encoding="utf-8").rstrip("\n").split("\n")]


@pytest.fixture(scope="module")
def domains(messages):
    with (DATA / "airline_Tweets.csv").open(encoding="utf-8", errors="replace") as file:
        found = {"airline": [row["text"] for row in csv.DictReader(file)][:3000]}
    for name in ("amazon_cells", "imdb", "yelp"):
        lines = (DATA / f"sentiment_{name}_labelled.txt").read_text(encoding="utf-8").strip("\n").split("\n")
        found[name] = [line.rsplit("\t", 1)[0] for line in lines]
    return found


def halves(messages, size, seed):
    order = np.random.default_rng(seed).permutation(len(messages))
    return [messages[place] for place in order[:size]], [messages[place] for place in order[size : 2 * size]]


def replaced(half, others, seed):
    """The half with a tenth of its messages replaced."""
    count = len(half) // 10
    return half[count:] + [others[place] for place in np.random.default_rng(seed).permutation(len(others))[:count]]


@pytest.mark.parametrize(("size", "splits"), [(200, 50), (500, 20), (1000, 10), (2787, 5)])
def test_random_halves_of_the_messages_are_no_drift(messages, size, splits):
    # At a level of 0.1 some alarms are due, so that a test which never alarms would not pass for a calibrated one.
    p_values = np.array([overall(text_drift(*map(text_profile, halves(messages, size, seed)))) for seed in range(splits)])
    assert (p_values <= 0.01).sum() <= 2
    assert (p_values <= 0.1).mean() <= 0.1 + 4 * math.sqrt(0.09 / splits)


@pytest.mark.parametrize("domain", ["airline", "amazon_cells", "imdb", "yelp"])
def test_a_tenth_of_another_domain_is_drift_between_two_halves(messages, domains, domain):
    one, other = halves(messages, 2787, 1)
    assert alarmed(one, replaced(other, domains[domain], 1))


@pytest.mark.parametrize("size", [500, 2787])
@pytest.mark.parametrize("domain", ["airline", "amazon_cells", "imdb", "yelp"])
def test_a_tenth_of_another_domain_is_drift_within_the_same_half(messages, domains, domain, size):
    half, _ = halves(messages, size, 2)
    assert alarmed(half, replaced(half, domains[domain], 2))


@pytest.mark.parametrize("size", [200, 2787])
def test_a_half_is_no_drift_from_itself(messages, size):
    half, _ = halves(messages, size, 3)
    found = drift(half, half)
    assert all(measure.p_value > 0.5 and measure.score <= 1e-9 for measure in found.values())


def test_a_part_of_the_reference_that_is_unlike_the_whole_is_drift(messages):
    half, _ = halves(messages, 2787, 4)
    assert alarmed(half, [text for text in half if any(letter.isdigit() for letter in text)])


# ------------------------------------------------------------------------------------------------------------- no drift


@pytest.mark.parametrize(("n", "m"), [(50, 50), (200, 40), (40, 200)])
def test_p_values_are_as_small_by_chance_as_they_say(n, m):
    generator = np.random.default_rng(n + m)
    column = written(generator, 600)
    found = []
    for _ in range(120):
        order = [column[place] for place in generator.permutation(600)[: n + m]]
        found.append([measure.p_value for measure in text_drift(text_profile(order[:n]), text_profile(order[n:]))])
    shares = dict(zip(EFFECTS, (np.array(found) <= 0.1).mean(axis=0), strict=True))
    assert 0.03 <= shares["tfidf"] <= 0.175  # four fifths of a tenth above it: 2.7 standard errors
    assert 0.03 <= shares["characters"] <= 0.175
    assert shares["vocabulary"] <= 0.175
    assert shares["terms"] <= 0.1  # a sum of bounds, and so on the safe side


@pytest.mark.parametrize("choose", [min, max])  # by its hash in the samples, or in neither
def test_a_text_that_makes_up_half_of_columns_larger_than_the_sample_is_no_drift(monkeypatch, choose):
    monkeypatch.setattr(text_module, "SAMPLE", 150)
    generator = np.random.default_rng(5)
    common = choose((f"OK {letter}" for letter in "abcdefghij"), key=text_key)
    column = [text if place % 2 else common for place, text in enumerate(written(generator, 3000))]
    found = []
    for _ in range(20):
        order = [column[place] for place in generator.permutation(3000)]
        found += [text_drift(text_profile(order[:800]), text_profile(order[1000:1800]))]
        found += [text_drift(text_profile(order[:1500]), text_profile(order[1500:1600]))]
    p_values = np.array([[measure.p_value for measure in measures] for measures in found])
    assert (p_values <= 0.02).mean(axis=0).max() <= 0.1


def test_texts_with_more_words_than_are_kept_are_no_drift(monkeypatch):
    monkeypatch.setattr(text_module, "SAMPLE_WORDS", 12)
    generator = np.random.default_rng(12)  # one where the commonest words are among the kept: then the kept vary least
    parts = written(generator, 6000)
    column = [" ".join(parts[start : start + 10]) for start in range(0, 6000, 10)]
    found = []
    for _ in range(25):
        order = [column[place] for place in generator.permutation(600)]
        found.append([measure.p_value for measure in text_drift(text_profile(order[:200]), text_profile(order[200:400]))])
    assert (np.array(found) <= 0.02).mean(axis=0).max() <= 0.12
    assert (np.array(found) <= 0.6).mean(axis=0).max() >= 0.3


def test_fewer_independent_units_than_texts_need_more_evidence():
    generator = np.random.default_rng(7)
    one, other = written(generator, 200), written(generator, 200, letters="klmnopqrst")
    texts = text_profile(one[:150]), text_profile(one[150:] + other[:8])
    rows, groups = overall(text_drift(*texts)), overall(text_drift(*texts, units=(15, 6)))
    assert rows < groups
    assert groups > 0.001


# ------------------------------------------------------------------------------------------------------------- one change each


def test_each_measure_finds_its_own_kind_of_change():
    generator = np.random.default_rng(8)
    column = written(generator, 600)
    one, other = column[:300], column[300:]
    shouted = [text.upper() + "!!" for text in other]
    newer = [f"{text} {word}" for text, word in zip(other, written(generator, 300, letters="uvwxyz"), strict=True)]
    marked = [f"{text} bitcoin" if place % 10 == 0 else text for place, text in enumerate(other)]
    assert drift(one, shouted)["characters"].p_value < 1e-6
    assert drift(one, shouted)["vocabulary"].p_value > 0.01
    assert drift(one, newer)["vocabulary"].p_value < 1e-6
    assert drift(one, newer)["tfidf"].p_value < 1e-6
    assert drift(one, marked)["terms"].p_value < 1e-4
    assert drift(one, marked)["terms"].value == pytest.approx(0.1)


def test_equal_arguments_give_equal_numbers():
    generator = np.random.default_rng(9)
    column = written(generator, 100)
    assert drift(column[:50], column[50:], seed=3) == drift(column[:50], column[50:], seed=3)


# --------------------------------------------------------------------------------------------------- independent arithmetic

few_words = st.lists(st.sampled_from(["ab", "cd", "ef", "gh", "ij", "kl", "mn"]), max_size=6).map(" ".join)
few_texts = st.lists(few_words, min_size=2, max_size=12)


@settings(max_examples=60)
@given(few_texts, few_texts)
def test_vocabulary_is_the_unseen_share_and_expects_what_leaving_one_text_out_shows(reference, current):
    found = drift(reference, current)["vocabulary"]
    known = {word for text in reference for word in words(text)}
    said = [word for text in current for word in words(text)]
    if not known or not said:
        assert found.value is None
        return
    left_out = 0
    for place, text in enumerate(reference):
        others = {word for other in reference[:place] + reference[place + 1 :] for word in words(other)}
        left_out += sum(word not in others for word in words(text))
    assert found.value == pytest.approx(sum(word not in known for word in said) / len(said))
    assert found.expected == pytest.approx(left_out / sum(len(words(text)) for text in reference))


@settings(max_examples=40, deadline=None)
@given(few_texts, few_texts)
def test_tfidf_is_one_less_the_cosine_of_scikit_learns_mean_vectors(reference, current):
    found = drift(reference, current)["tfidf"]
    if not any(map(words, reference)) or not any(map(words, current)):
        assert found.value is None
        return
    counts = TfidfVectorizer(analyzer=words, use_idf=False, norm="l2")
    rarity = TfidfVectorizer(analyzer=words).fit([*reference, *current]).idf_
    counts.fit([*reference, *current])
    one, other = (np.asarray(counts.transform(column).mean(axis=0)).ravel() * rarity for column in (reference, current))
    assert found.value == pytest.approx(1 - one @ other / np.sqrt(one @ one * (other @ other)), abs=1e-4)


def test_the_expected_cosine_is_that_of_dealing_out_by_hand():
    generator = np.random.default_rng(10)
    column = written(generator, 80)
    found = drift(column[:50], column[50:])["tfidf"]
    dealt = []
    for _ in range(80):
        order = generator.permutation(80)
        dealt.append(drift([column[place] for place in order[:50]], [column[place] for place in order[50:]])["tfidf"].value)
    assert found.expected == pytest.approx(np.mean(dealt), rel=0.04)


def test_the_distance_of_characters_is_mahalanobis_of_normal_scores():
    from scipy.stats import norm, rankdata

    generator = np.random.default_rng(11)
    column = [text.upper() if generator.random() < 0.3 else text for text in written(generator, 300)]
    bins = features(column, np.array([len(words(text)) for text in column]))
    scores = np.column_stack([norm.ppf((rankdata(feature) - 0.5) / len(feature)) for feature in bins.T])
    scores = scores[:, scores.std(axis=0) > 0]
    apart = scores[180:].mean(axis=0) - scores[:180].mean(axis=0)
    centred = scores - scores.mean(axis=0)
    variances, directions = np.linalg.eigh(centred.T @ centred / (len(scores) - 1))
    kept = variances > 1e-3 * variances.max()
    expected = ((directions.T @ apart)[kept] ** 2 / variances[kept]).sum()
    found = drift(column[:180], column[180:])["characters"]
    assert found.value == pytest.approx(expected, rel=1e-2)
    assert found.expected == pytest.approx(kept.sum() * (1 / 180 + 1 / 120))
    assert len(FEATURES) == bins.shape[1]


def test_terms_take_the_word_whose_texts_are_least_evenly_divided():
    reference, current = ["alpha beta"] * 40 + ["beta"] * 60, ["alpha beta"] * 75 + ["beta"] * 25
    shares = Counter({"alpha": 75 / 100 - 40 / 100})
    assert drift(reference, current)["terms"].value == pytest.approx(shares["alpha"])


@pytest.mark.parametrize(("here", "there", "part"), [(5, 3, 0.5), (0, 4, 0.2), (7, 0, 0.9)])
def test_the_binomial_tail_is_scipys(here, there, part):
    from scipy.stats import binom

    assert at_least(np.array([here]), np.array([there]), part)[0] == pytest.approx(binom.sf(here - 1, here + there, part), rel=1e-6)


def test_terms_that_could_never_be_sure_are_not_looked_at():
    held = np.array([3, 50, 9, 20])
    assert reachable(held, 0.5, 0.01).tolist() == [1, 3]  # 2 * 0.5 ** 20 * 2 < 0.01 < 2 * 0.5 ** 9 * 3
    assert reachable(np.zeros(0), 0.5, 0.01).tolist() == []


# ------------------------------------------------------------------------------------------------------- undefined cases


@pytest.mark.parametrize(
    ("reference", "current"),
    [
        ([], []),
        ([], ["call me"]),
        (["call me"], []),
        ([None, None], ["call me"]),
        (["call me"], ["call me"]),
        (["call me"] * 50, ["call me"]),
        (["call me"] * 50, ["call me"] * 50),
        (["", ""], ["", ""]),
        (["...", "?!"], ["--", "::"]),
        (["call me"] * 20, [""] * 20),
        ([""] * 20, ["call me"] * 20),
        (["a"], ["b"]),
        (["a", "b"], ["c", "d"]),
    ],
)
def test_every_number_is_finite_or_none(reference, current):
    for measure in drift(reference, current).values():
        for number in (measure.value, measure.expected, measure.score, measure.p_value):
            assert number is None or math.isfinite(number)
        assert measure.p_value is None or 0 <= measure.p_value <= 1


@settings(max_examples=80, deadline=None)
@given(st.lists(st.none() | st.text(max_size=12), max_size=8), st.lists(st.none() | st.text(max_size=12), max_size=8))
def test_nothing_is_undefined_but_none(reference, current):
    found = drift(reference, current)
    assert tuple(found) == tuple(EFFECTS)
    for measure in found.values():
        numbers = (measure.value, measure.expected, measure.score, measure.p_value)
        assert all(number is None or math.isfinite(number) for number in numbers)
        assert measure.p_value is None or 0 <= measure.p_value <= 1


def test_without_texts_nothing_is_defined():
    found = text_drift(text_profile([]), text_profile(["call me"]))
    assert all(measure.value is None and measure.p_value is None for measure in found)


def test_a_few_texts_cannot_be_surer_than_their_number_of_divisions_allows():
    found = drift(["aa", "bb", "cc"], ["XX!", "YY!", "ZZ!"])
    assert min(measure.p_value for measure in found.values()) >= 1 / 20 - 1e-9  # 6 texts are divided to two sides of 3 in 20 ways
