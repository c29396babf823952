"""The models that are tried: what is fitted on texts (vocabularies, weights) is fitted on training rows and stored in the model.

Words say what is spoken of, pieces of words what is misspelt, inflected or stressed; both together do better than either.
"""

from __future__ import annotations

from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC


def logistic_regression() -> Pipeline:
    return _on_texts(LogisticRegression(max_iter=500))


def linear_svm() -> Pipeline:
    """With probabilities, which a support vector machine does not have of itself."""
    return _on_texts(CalibratedClassifierCV(LinearSVC(), cv=3, ensemble=False))


def naive_bayes() -> Pipeline:
    return _on_texts(MultinomialNB(alpha=0.1))


def _on_texts(model: object) -> Pipeline:
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), min_df=2, sublinear_tf=True)
    texts = ColumnTransformer([("words", words, "text"), ("pieces", pieces, "text")])
    return Pipeline([("texts", texts), ("model", model)])
