"""A compiled model says what the model itself says, of whatever comes; what is not known is not compiled, and says why."""

from __future__ import annotations

import contextlib
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier, SGDClassifier
from sklearn.naive_bayes import BernoulliNB, ComplementNB, MultinomialNB
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC
from tests.unit.serving.pipelines import (
    MESSAGE,
    TABLE,
    as_rows,
    assert_same,
    columns,
    messages,
    outcome,
    plainly,
    table,
    texts,
)

from keepfit.errors import DataError
from keepfit.serving.compiled import Dense, Linear, NotCompiled, compiled, known_terms
from keepfit.serving.compiled.proof import difference, edge_rows

FRAME, (TEXTS, KINDS) = table(), messages()
TWO = np.where(KINDS == "spam", "spam", "ham")


def text_frame(rows):
    return pd.DataFrame({"message": np.array([*(row["message"] for row in rows), None], dtype=object)[:-1]})


def table_frame(rows):
    frame = pd.DataFrame(rows, columns=list(TABLE), dtype=object)
    return frame.astype(dict.fromkeys(["age", "count", "flag"], float))


# ------------------------------------------------------------------------------------------------------------------ tables


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("end", [LogisticRegression(), SGDClassifier(loss="log_loss"), RidgeClassifier(), LinearSVC()])
def test_linear_ends_of_tables(end, classes):
    model = Pipeline([("columns", columns()), ("end", end)]).fit(FRAME, outcome(FRAME, classes))
    short = compiled(model, TABLE)
    assert isinstance(short, Linear)
    new = table(200, seed=5)
    assert_same(short.say(as_rows(new)), plainly(model, new))


@pytest.mark.parametrize("end", [LinearRegression(), Ridge()])
@pytest.mark.parametrize(
    "scale", [StandardScaler(), StandardScaler(with_mean=False), RobustScaler(), MinMaxScaler(), MaxAbsScaler()]
)
def test_regressions_behind_every_scale(end, scale):
    model = Pipeline([("columns", columns(scale=scale)), ("end", end)]).fit(FRAME, FRAME["count"].fillna(0) * 3.0)
    new = table(200, seed=6)
    assert_same(compiled(model, TABLE).say(as_rows(new)), plainly(model, new))


@pytest.mark.parametrize(
    "encoder",
    [
        {"drop": "first", "min_frequency": None},
        {"drop": "if_binary"},
        {"handle_unknown": "ignore"},
        {"max_categories": 2},
        {"min_frequency": None},
        {"drop": "first"},
    ],
)
def test_every_way_to_encode_categories(encoder):
    model = Pipeline([("columns", columns(**encoder)), ("end", LogisticRegression())]).fit(FRAME, outcome(FRAME, 3))
    short = compiled(model, TABLE)
    new = table(200, seed=7)
    new.loc[:20, "colour"] = "nobody knows"
    with pytest.warns(UserWarning, match="unknown categories") if "drop" in encoder else contextlib.nullcontext():
        expected = plainly(model, new)
    assert_same(short.say(as_rows(new)), expected)


def test_a_category_that_the_model_refuses_is_refused_in_words():
    model = Pipeline([("columns", columns(handle_unknown="error", min_frequency=None)), ("end", LogisticRegression())])
    short = compiled(model.fit(FRAME, outcome(FRAME, 2)), TABLE)
    row = as_rows(FRAME)[0] | {"colour": "mauve"}
    with pytest.raises(DataError, match="colour is a category that this model does not know"):
        short.say([row])


@pytest.mark.parametrize(
    "end",
    [
        HistGradientBoostingClassifier(max_iter=20),
        RandomForestClassifier(10),
        GradientBoostingClassifier(n_estimators=10),
        SVC(),
        HistGradientBoostingRegressor(max_iter=20),
    ],
    ids=lambda end: type(end).__name__,
)
def test_other_ends_get_their_columns_to_the_last_bit(end):
    target = FRAME["count"].fillna(0) if isinstance(end, HistGradientBoostingRegressor) else outcome(FRAME, 3)
    model = Pipeline([("columns", columns()), ("end", end)]).fit(FRAME, target)
    short = compiled(model, TABLE)
    assert isinstance(short, Dense)
    new = table(200, seed=8)
    np.testing.assert_array_equal(np.hstack([block.dense(as_rows(new)) for block in short.blocks]), model[0].transform(new))
    assert_same(short.say(as_rows(new), traced=True), plainly(model, new))
    assert all(not terms for *_, terms in short.say(as_rows(new), traced=True))


def test_a_boosting_that_takes_gaps_takes_them_compiled_too():
    frame = FRAME[["age", "count"]]
    model = Pipeline([("scale", StandardScaler()), ("end", HistGradientBoostingClassifier(max_iter=10))]).fit(
        frame, outcome(FRAME, 2)
    )
    short = compiled(model, {"age": "number", "count": "number"})
    rows = [{"age": None, "count": 2.0}, {"age": 1e6, "count": None}]
    assert_same(short.say(rows), plainly(model, pd.DataFrame(rows, dtype=float)))


def test_numbers_that_may_not_be_missing_are_asked_for_by_name():
    frame = FRAME[["age", "count"]].fillna(0)
    model = Pipeline([("scale", StandardScaler()), ("end", LogisticRegression())]).fit(frame, outcome(FRAME, 2))
    with pytest.raises(DataError, match="count is empty"):
        compiled(model, {"age": "number", "count": "number"}).say([{"age": 1.0, "count": None}])


cells = st.fixed_dictionaries(
    {
        "age": st.none() | st.floats(-1e12, 1e12) | st.integers(-(2**63), 2**63 - 1),
        "count": st.none() | st.integers(-5, 50),
        "flag": st.none() | st.booleans(),
        "colour": st.none() | st.sampled_from(["red", "rare", "blue ", "", "Red"]) | st.text(max_size=5),
        "city": st.none() | st.sampled_from(["Ulm", "Bath"]),
    }
)
LR = Pipeline([("columns", columns()), ("end", LogisticRegression())]).fit(FRAME, outcome(FRAME, 3))
SHORT_LR = compiled(LR, TABLE)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(cells, min_size=1, max_size=8))
def test_any_table_rows(rows):
    cleaned = [row | {name: (row[name] or "").strip().split("\n")[0] or None for name in ("colour", "city")} for row in rows]
    assert_same(SHORT_LR.say(cleaned), plainly(LR, table_frame(cleaned)))


# ------------------------------------------------------------------------------------------------------------------- texts


ENDS = {
    "logistic": LogisticRegression(),
    "liblinear": LogisticRegression(solver="liblinear"),
    "svm": CalibratedClassifierCV(LinearSVC(), ensemble=False, cv=3),
    "svms": CalibratedClassifierCV(LinearSVC(), ensemble=True, cv=3),
    "isotonic": CalibratedClassifierCV(LinearSVC(), method="isotonic", ensemble=False, cv=3),
    "bayes": MultinomialNB(),
    "complement": ComplementNB(),
    "bernoulli": BernoulliNB(),
    "calibrated bayes": CalibratedClassifierCV(MultinomialNB(), ensemble=True, cv=3),
}
ODD = [
    "",
    "a",
    "free",
    "FREE!! free",
    "Ünï ÇØDE façade İ ΣΑΣ",
    "🎉 win 🎉🎉",
    "x" * 300,
    "win cash " * 200,
    "a\u00a0b\u2003c\x1cd",
    "ﬁ ½",
]


@pytest.mark.parametrize("two", [True, False], ids=["two classes", "three"])
@pytest.mark.parametrize("name", ENDS)
def test_ends_of_texts(name, two):
    if name == "liblinear" and not two:
        pytest.skip("liblinear tells two classes apart")
    model = Pipeline([("texts", texts()), ("end", clone(ENDS[name]))]).fit(TEXTS, TWO if two else KINDS)
    short = compiled(model, MESSAGE)
    rows = [*as_rows(messages(80, seed=3)[0]), *({"message": text} for text in [*ODD, None])]
    assert_same(short.say(rows), plainly(model, text_frame(rows)))
    assert_same(short.say(rows, traced=True), plainly(model, text_frame(rows)))


VECTORIZERS = {
    "plain": TfidfVectorizer(),
    "three words": TfidfVectorizer(ngram_range=(1, 3)),
    "pairs alone": TfidfVectorizer(ngram_range=(2, 2)),
    "stop words": TfidfVectorizer(stop_words=["the", "a", "you"]),
    "english": TfidfVectorizer(stop_words="english", ngram_range=(1, 2)),
    "one letter": TfidfVectorizer(token_pattern=r"\S+", lowercase=False),
    "a group": TfidfVectorizer(token_pattern=r"(\w)\w*"),
    "accents": TfidfVectorizer(strip_accents="unicode"),
    "ascii": TfidfVectorizer(strip_accents="ascii", analyzer="char_wb", ngram_range=(3, 3)),
    "long runs": TfidfVectorizer(analyzer="char_wb", ngram_range=(4, 9)),
    "single characters": TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 2)),
    "l1": TfidfVectorizer(norm="l1", use_idf=False),
    "no norm": TfidfVectorizer(norm=None, smooth_idf=False, binary=True),
    "rare terms left out": TfidfVectorizer(min_df=3, max_df=0.5, max_features=40),
    "counts": CountVectorizer(ngram_range=(1, 2)),
    "counts and weights": Pipeline([("count", CountVectorizer()), ("weigh", TfidfTransformer(sublinear_tf=True))]),
    "scaled": Pipeline([("tfidf", TfidfVectorizer()), ("scale", MaxAbsScaler())]),
    "some of them": Pipeline([("tfidf", TfidfVectorizer()), ("best", SelectKBest(k=10))]),
}


@pytest.mark.parametrize("name", VECTORIZERS)
def test_every_way_to_count_terms(name):
    front = ColumnTransformer([("text", VECTORIZERS[name], "message")])
    if name == "some of them":
        front = Pipeline([("text", ColumnTransformer([("text", TfidfVectorizer(), "message")])), ("best", SelectKBest(k=10))])
    model = Pipeline([("texts", front), ("end", LogisticRegression())]).fit(TEXTS, TWO)
    short = compiled(model, MESSAGE)
    rows = [*as_rows(messages(60, seed=4)[0]), *({"message": text} for text in ODD if text)]
    assert_same(short.say(rows), plainly(model, text_frame(rows)))


SPAM = Pipeline([("texts", texts()), ("end", clone(ENDS["svm"]))]).fit(TEXTS, TWO)
SHORT_SPAM = compiled(SPAM, MESSAGE)
written = st.text(max_size=60) | st.lists(
    st.sampled_from([*"aé!1ΣİßÜ🎉ﬁ각\u0301\u0316 \t\n", "free", "FREE", "call now", "£5"]), max_size=40
).map("".join)


options = st.fixed_dictionaries(
    {
        "analyzer": st.sampled_from(["word", "char_wb"]),
        "norm": st.sampled_from(["l1", "l2", None]),
        "strip_accents": st.sampled_from(["ascii", "unicode", None]),
        **dict.fromkeys(["sublinear_tf", "use_idf", "binary", "lowercase"], st.booleans()),
    }
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(some=st.lists(written, min_size=1, max_size=6))
def test_any_texts(some):
    rows = [{"message": text} for text in some]
    assert_same(SHORT_SPAM.say(rows, traced=True), plainly(SPAM, text_frame(rows)))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lowest=st.integers(1, 3), more=st.integers(0, 3), options=options, some=st.lists(written, min_size=1, max_size=4))
def test_any_vectorizer(lowest, more, options, some):
    vectorizer = TfidfVectorizer(ngram_range=(lowest, lowest + more), **options)
    model = Pipeline([("texts", ColumnTransformer([("text", vectorizer, "message")])), ("end", MultinomialNB())]).fit(TEXTS, KINDS)
    rows = [{"message": text} for text in some if text.strip()]
    if rows:
        assert_same(compiled(model, MESSAGE).say(rows), plainly(model, text_frame(rows)))


def test_words_beyond_what_is_remembered_are_answered_too(monkeypatch):
    monkeypatch.setattr("keepfit.serving.compiled.texts.REMEMBERED", 3)
    short = compiled(SPAM, MESSAGE)
    rows = as_rows(TEXTS.head(40))
    assert_same(short.say(rows), plainly(SPAM, TEXTS.head(40)))


@pytest.mark.parametrize(
    "text", ["a" + "!" * 50_000 + "a", "!" * 50_000, "a" + "\u0301\u0316" * 50_000, "a " * 50_000, "a" * 100_000]
)
@pytest.mark.parametrize("words", [{}, {"strip_accents": "unicode"}, {"strip_accents": "ascii"}])
def test_no_text_takes_longer_than_its_length(text, words):
    """What is not linear in it takes seconds."""
    front = FeatureUnion([(kind, TfidfVectorizer(analyzer=kind, **words)) for kind in ("word", "char_wb")])
    model = Pipeline([("texts", ColumnTransformer([("text", front, "message")])), ("end", MultinomialNB())]).fit(TEXTS, KINDS)
    short = compiled(model, MESSAGE)
    started = time.process_time()
    short.say([{"message": text}], traced=True)
    assert time.process_time() - started < 0.6


def test_texts_and_numbers_together():
    frame = FRAME.head(len(TEXTS)).reset_index(drop=True).assign(message=TEXTS["message"])
    front = ColumnTransformer([*columns(factor=None).transformers, *texts().transformers])
    model = Pipeline([("columns", front), ("end", LogisticRegression(max_iter=500))]).fit(frame, KINDS)
    short = compiled(model, TABLE | MESSAGE)
    assert_same(short.say(as_rows(frame)), plainly(model, frame))


# ----------------------------------------------------------------------------------------------------------- contributions


def test_contributions_and_the_average_row_make_up_the_log_odds():
    frame = FRAME[["age", "count"]].fillna(3)
    model = Pipeline([("scale", StandardScaler()), ("end", LogisticRegression())]).fit(frame, outcome(FRAME, 2))
    place, probabilities, _, terms = compiled(model, dict.fromkeys(frame, "number")).say(as_rows(frame.head(1)), traced=True)[0]
    average = model.decision_function(frame.mean().to_frame().T)[0] * (1 if place else -1)
    odds = np.log(probabilities[place] / (1 - probabilities[place]))
    assert sum(value for _, value in terms) + average == pytest.approx(odds)
    assert dict(terms)["age"] == pytest.approx(
        (frame["age"][0] - frame["age"].mean()) / model[0].scale_[0] * model[1].coef_[0, 0] * (1 if place else -1)
    )


def test_without_a_mean_contributions_are_relative_to_what_fills_gaps():
    frame = FRAME[["age", "count"]]
    steps = [("impute", SimpleImputer(strategy="median")), ("scale", MaxAbsScaler()), ("end", LogisticRegression())]
    short = compiled(Pipeline(steps).fit(frame, outcome(FRAME, 2)), dict.fromkeys(frame, "number"))
    usual = {"age": None, "count": frame["count"].median()}
    assert [value for _, value in short.say([usual], traced=True)[0][3]] == pytest.approx([0, 0])
    assert dict(short.say([usual | {"count": 90.0}], traced=True)[0][3])["count"] != pytest.approx(0)


def test_terms_behind_several_calibrated_models_are_the_mean_of_their_log_odds():
    model = Pipeline([("texts", texts()), ("end", clone(ENDS["svms"]))]).fit(TEXTS, TWO)
    cells = model[0].transform(TEXTS.head(10))
    for line, (place, _, _, terms) in enumerate(compiled(model, MESSAGE).say(as_rows(TEXTS.head(10)), traced=True)):
        members = model[1].calibrated_classifiers_
        odds = [-each.calibrators[0].a_ * (cells[[line]] @ each.estimator.coef_.T).item() for each in members]
        assert sum(value for _, value in terms) == pytest.approx(np.mean(odds) * (1 if place else -1))


def test_terms_of_a_text_make_up_the_log_odds_of_what_was_answered():
    model = Pipeline([("texts", texts()), ("end", LogisticRegression())]).fit(TEXTS, TWO)
    for place, probabilities, _, terms in compiled(model, MESSAGE).say(as_rows(TEXTS.head(30)), traced=True):
        odds = np.log(probabilities[place] / (1 - probabilities[place]))
        intercept = model[1].intercept_[0] * (1 if place else -1)
        assert sum(value for _, value in terms) + intercept == pytest.approx(odds)


def test_against_several_classes_it_is_their_mean_that_counts():
    model = Pipeline([("texts", texts()), ("end", LogisticRegression())]).fit(TEXTS, KINDS)
    for (place, _, _, terms), scores in zip(
        compiled(model, MESSAGE).say(as_rows(TEXTS.head(20)), traced=True), model.decision_function(TEXTS.head(20)), strict=True
    ):
        relative = scores - model[1].intercept_
        assert sum(value for _, value in terms) == pytest.approx(relative[place] - np.delete(relative, place).mean())


@settings(max_examples=60, deadline=None)
@given(text=written)
def test_only_what_stands_in_the_text_is_named(text):
    *_, terms = SHORT_SPAM.say([{"message": text}], traced=True)[0]
    words = " ".join(text.lower().split())
    for term, _ in terms:
        assert term == term.lower()
        assert all(part in words for part in term.split())
        assert len({term for term, _ in terms}) == len(terms)


def test_the_characters_of_a_word_count_for_the_word():
    *_, terms = SHORT_SPAM.say([{"message": "hello!! Free CASH, free"}], traced=True)[0]
    assert {"hello", "free", "cash", "free cash", "cash free"} >= set(dict(terms)) >= {"hello", "free", "cash"}
    place = SHORT_SPAM.say([{"message": "free cash"}])[0][0]
    assert SHORT_SPAM.classes[place] == "spam"


# ----------------------------------------------------------------------------------------------------------- not compiled


class Shout(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):  # noqa: N803
        self.fitted_ = True
        return self

    def transform(self, X):  # noqa: N803
        return X


class LogisticRegressionOfOnesOwn(LogisticRegression):
    pass


LogisticRegressionOfOnesOwn.__name__ = "LogisticRegression"


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (Pipeline([("own", Shout()), ("end", LogisticRegression())]), "Shout"),
        (Pipeline([("scale", StandardScaler()), ("pca", PCA(2)), ("end", LogisticRegression())]), "PCA"),
        (LogisticRegressionOfOnesOwn(), "LogisticRegression"),
    ],
)
def test_what_is_not_known_is_not_compiled(model, why):
    frame = FRAME[["age", "count"]].fillna(0)
    with pytest.raises(NotCompiled, match=why):
        compiled(model.fit(frame, outcome(FRAME, 2)), {"age": "number", "count": "number"})


@pytest.mark.parametrize(
    "settings", [{"tokenizer": str.split, "token_pattern": None}, {"analyzer": "char"}, {"preprocessor": str.upper}]
)
def test_vectorizers_with_rules_of_their_own_are_not_compiled(settings):
    front = ColumnTransformer([("text", TfidfVectorizer(**settings), "message")])
    model = Pipeline([("texts", front), ("end", LogisticRegression())]).fit(TEXTS, TWO)
    with pytest.raises(NotCompiled, match="TfidfVectorizer"):
        compiled(model, MESSAGE)


# ------------------------------------------------------------------------------------------------------------------- proof


def test_the_proof_sees_a_difference():
    rows = edge_rows(TABLE, known_terms(SHORT_LR), as_rows(FRAME.head(5)))
    cleaned = [row | {name: (row[name] or "").strip() or None for name in ("colour", "city")} for row in rows]

    def long(some):
        return plainly(LR, table_frame(some))

    assert difference(SHORT_LR.say, long, cleaned) == ""
    other = Pipeline([("columns", columns()), ("end", LogisticRegression(C=0.9))]).fit(FRAME, outcome(FRAME, 3))
    assert "became class" in difference(compiled(other, TABLE).say, long, cleaned)


def test_the_proof_sees_that_only_one_of_them_refuses():
    def refuses(some):
        raise ValueError

    assert difference(refuses, SHORT_SPAM.say, [{"message": "hello"}]).endswith("became an error for {'message': 'hello'}")
    assert difference(refuses, refuses, [{"message": "hello"}]) == ""


def test_edge_rows_try_every_field_empty_unknown_and_what_the_model_knows():
    rows = edge_rows(TABLE | MESSAGE, {"colour": ["red"], "message": ["free"]}, [])
    assert all(any(row[name] is None for row in rows) for name in TABLE)
    assert {"red", "no such category"} <= {row["colour"] for row in rows}
    texts_tried = {row["message"] for row in edge_rows(MESSAGE, {"message": ["free"]}, [])}
    assert {"", None} <= texts_tried
    assert any("🎉" in text for text in texts_tried if text)
    assert max(len(text) for text in texts_tried if text) > 1000
    assert rows == edge_rows(TABLE | MESSAGE, {"colour": ["red"], "message": ["free"]}, [])
