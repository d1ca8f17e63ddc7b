"""Categories of a table's columns: which are embedded, and as summary columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

# With embedding: auto, a column of more categories than this gets a trained vector for each.
FEW_CATEGORIES = 50
# Of an embedded column, so many of the most frequent categories have a summary column each.
SUMMARIZED_CATEGORIES = 200
WIDEST_EMBEDDING = 32


def is_embedded(categories: int, embedding: str | int) -> bool:
    """Whether a column of so many categories is embedded: ``auto``, ``off`` or above a number."""
    if embedding == "off":
        return False
    return categories > (FEW_CATEGORIES if embedding == "auto" else int(embedding))


def embedding_width(categories: int) -> int:
    """Length of a category's vector: ``1.6 * K ** 0.56`` (the fastai library's rule), at most 32.

    Larger tables of vectors than this are not worth their parameters for cohorts of the usual
    size.
    """
    return min(WIDEST_EMBEDDING, round(1.6 * categories**0.56))


def most_frequent(categories: Sequence[str], counts: Mapping[str, int]) -> list[int]:
    """The codes, counted from 1, of the most frequent categories, ascending."""
    order = sorted(range(len(categories)), key=lambda i: -counts[categories[i]])
    return sorted(i + 1 for i in order[:SUMMARIZED_CATEGORIES])


def summary_columns(
    name: str, values: np.ndarray, categories: Sequence[str], common: Sequence[int], rare: bool
) -> dict[str, np.ndarray]:
    """One-hot columns (n,) float32 of a column's codes: the rare, the common and the others.

    Args:
        name: The column.
        values: (n,) codes: 1 … K, 0 for rare or unseen, NaN for missing.
        categories: Their names.
        common: Codes that have a column each; empty for all.
        rare: Whether rare ones were found in training.
    """
    shown = common or range(1, len(categories) + 1)
    columns = {f"{name} = (rare)": values == 0} if rare else {}
    columns |= {f"{name} = {categories[code - 1]}": values == code for code in shown}
    if len(shown) < len(categories):
        columns[f"{name} = (other)"] = (values > 0) & ~np.isin(values, shown)
    return {each: found.astype("float32") for each, found in columns.items()}
