"""The single features that the gate judges, whatever the input."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from medkit.core.lazy import pd
from medkit.leakage.evidence import Evidence
from medkit.modalities.likeness import Texts

if TYPE_CHECKING:
    import pandas

LONGEST_FRAGMENT = 5
MOST_FRAGMENTS = 2000
PROMISING = 0.9  # in sample


@dataclass
class Columns:
    """Features of n rows.

    Args:
        names: Names of the numeric features.
        values: (n, names) float, NaN where missing.
        categories: Name -> (n,) category codes, -1 where missing.
    """

    names: list[str]
    values: np.ndarray
    categories: dict[str, np.ndarray] = field(default_factory=dict)


def columns_of(evidence: Evidence) -> Columns:
    """Raw columns of a table; else what the modality gives to be judged, and fragments of texts."""
    if evidence.table is not None:
        return _of_table(evidence.table.take(evidence.chosen))
    names, values = evidence.modality.gate_columns(evidence.x)
    if evidence.texts is None:
        return Columns(names, values)
    more, held = _fragments(evidence, evidence.texts)
    return Columns(names + more, np.hstack([values, held]))


def _of_table(frame: pandas.DataFrame) -> Columns:
    numeric, categories = {}, {}
    for name in frame.columns:
        column = frame[name]
        if is_number(column):
            numeric[name] = column.to_numpy(dtype="float64", na_value=np.nan)
        else:
            missing = column.isna().to_numpy()
            codes = pd.factorize(column.astype(str))[0]
            categories[name] = np.where(missing, -1, codes)
    values = np.column_stack(list(numeric.values())) if numeric else np.empty((len(frame), 0))
    values[np.isinf(values)] = np.nan
    return Columns(list(numeric), values, categories)


def is_number(column: pd.Series) -> bool:
    """Whether a raw column holds numbers (truth values and dates do not count)."""
    types = pd.api.types
    return bool(types.is_numeric_dtype(column) and not types.is_bool_dtype(column))


def _fragments(evidence: Evidence, every: Texts) -> tuple[list[str], np.ndarray]:
    """Whether a row holds a fragment, for those fragments in many rows but not in all."""
    from sklearn.feature_extraction.text import CountVectorizer

    texts, words = [every.values[row] for row in evidence.chosen], every.words
    least = max(10, len(texts) // 200)
    vectorizer = CountVectorizer(
        analyzer="word" if words else "char",
        token_pattern=r"(?u)\b\w+\b" if words else None,
        ngram_range=(1, 3 if words else LONGEST_FRAGMENT),
        binary=True,
        min_df=min(least, len(texts)),
        max_df=max(1 - least / len(texts), 0.5),
        max_features=MOST_FRAGMENTS,
        dtype=np.float32,
    )
    try:
        found = vectorizer.fit_transform(texts)
    except ValueError:  # no fragment in enough rows
        return [], np.empty((len(texts), 0))
    promising = np.zeros(found.shape[1], dtype=bool)
    share = np.asarray(found.mean(axis=0)).ravel()
    for outcome in evidence.outcomes:
        y = outcome.y.astype("float64")
        together = np.abs(found.T @ (y - y.mean())) / len(y)
        # Of a number, the correlation; of a class, how much more often its rows hold the fragment.
        spread = np.sqrt(share * (1 - share)) * y.std() if evidence.regression else y.var()
        promising |= together >= PROMISING * np.maximum(spread, 1e-12)
    # The fragment itself may be a name: how long it is must do.
    kind = "words" if words else "characters"
    kept = np.flatnonzero(promising)
    fragments = vectorizer.get_feature_names_out()[kept]
    sizes = [len(each.split()) if words else len(each) for each in fragments]
    names = [f"a fragment of {size} {kind}" for size in sizes]
    return names, found[:, kept].toarray().astype("float64")
