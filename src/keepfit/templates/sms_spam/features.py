"""The models that are tried: what is fitted on messages (vocabularies, weights) is fitted on training rows and stored in the model.

Words and pairs of words say what is spoken of. Pieces of two to five characters say how it is written: numbers to ring, prices,
spellings that hide a word, and, since their case is kept, SHOUTING.
"""

from __future__ import annotations

from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC


def linear_svm() -> Pipeline:
    """Calibrated: a support vector machine has no probabilities of itself, and its own line between the classes is a little off."""
    return _on_messages(CalibratedClassifierCV(LinearSVC(), cv=5, ensemble=False))


def logistic_regression() -> Pipeline:
    return _on_messages(LogisticRegression(solver="liblinear"))


def naive_bayes() -> Pipeline:
    return _on_messages(MultinomialNB())


def _on_messages(model: object) -> Pipeline:
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True, lowercase=False)
    messages = ColumnTransformer([("words", words, "message"), ("pieces", pieces, "message")])
    return Pipeline([("messages", messages), ("model", model)])
