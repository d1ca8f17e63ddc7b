"""The single features that the gate judges, whatever the modality."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from medkit.core.lazy import pd
from medkit.leakage.evidence import Evidence

MOST_PIXELS = 32
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
    """Raw columns of a table; else the modality's summary features, and more of its own."""
    if evidence.frame is not None:
        return _table(evidence)
    summary = evidence.modality.summarize(evidence.x)
    names, values = [str(name) for name in summary.columns], summary.to_numpy("float64")
    if evidence.modality.modality == "image":
        more, pixels = _pixels(evidence.x)
    elif evidence.modality.modality == "tokens":
        more, pixels = _fragments(evidence)
    else:
        return Columns(names, values)
    return Columns(names + more, np.hstack([values, pixels]))


def _table(evidence: Evidence) -> Columns:
    frame = evidence.table.iloc[evidence.chosen]
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


def _pixels(x: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Brightest and darkest pixel of each block of a grid of at most 32 × 32 (a burnt-in mark)."""
    x = x if x.ndim == 4 else x.max(axis=1)
    x = np.asarray(x.mean(axis=-1) if x.shape[-1] > 1 else x[..., 0], dtype="float32")
    starts = [_starts(size) for size in x.shape[1:]]
    names, found = [], []
    for what, reduce in (("brightest", np.maximum), ("darkest", np.minimum)):
        pooled = reduce.reduceat(reduce.reduceat(x, starts[0], axis=1), starts[1], axis=2)
        found.append(pooled.reshape(len(x), -1))
        names += [f"{what} at row {r + 1}, column {c + 1}" for r in starts[0] for c in starts[1]]
        if pooled.shape == x.shape:
            break  # blocks of one pixel: the same twice
    return names, np.hstack(found)


def _starts(size: int) -> np.ndarray:
    count = min(size, MOST_PIXELS)
    return (np.arange(count) * size) // count


def _fragments(evidence: Evidence) -> tuple[list[str], np.ndarray]:
    """Whether a row holds a fragment, for those fragments in many rows but not in all."""
    from sklearn.feature_extraction.text import CountVectorizer

    raw = np.concatenate(evidence.raw)
    texts = [each if isinstance(each, str) else "" for each in raw[evidence.chosen]]
    words = getattr(evidence.modality, "unit", "character") == "word"
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
