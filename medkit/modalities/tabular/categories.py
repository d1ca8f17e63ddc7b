"""The categorical columns of a table: learned, encoded, embedded, and as summary columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from medkit.modalities.modality import log
from medkit.modalities.tabular.columns import (
    category_codes,
    known_key,
    number_spellings,
    whole_numbers,
)
from medkit.modalities.tabular.hooks import TabularHooks

if TYPE_CHECKING:
    import keras
    import pandas

# With embedding: auto, a column of more categories than this gets a trained vector for each.
FEW_CATEGORIES = 50
# As one-hot columns, more than this are worth a warning.
MANY_CATEGORIES = 200
# Of an embedded column, so many of the most frequent categories have a summary column each.
SUMMARIZED_CATEGORIES = 200
WIDEST_EMBEDDING = 32


class CategoricalColumns(TabularHooks):
    """What a table learns of its categorical columns."""

    rare_below: int
    embedding: Literal["auto", "off"] | int
    embedding_width: int | None
    whole_: list[str]
    spellings_: dict[str, dict[str, str]]
    common_: dict[str, list[int]]
    missing_: list[str]
    fill_: dict[str, float]

    def _fit_categories(self, name: str, column: pandas.Series) -> None:
        codes, keys = category_codes(column)
        if keys and whole_numbers(keys):
            self.whole_.append(name)
            keys = [key.removesuffix(".0") for key in keys]
        counts = np.bincount(codes[codes >= 0], minlength=len(keys))
        kept = [key for key, count in zip(keys, counts, strict=True) if count >= self.rare_below]
        self.categories_[name] = sorted(kept)
        self.spellings_[name] = number_spellings(keys, kept)
        if len(kept) < len(keys):
            self.rare_.append(name)
            log.info(
                "column '%s': %d of %d categories are in fewer than %d training rows and share "
                "the rare bucket", name, len(keys) - len(kept), len(keys), self.rare_below,
            )  # fmt: skip
        if (codes < 0).any():
            self.missing_.append(name)
        if not len(keys):
            log.warning("column '%s' is missing in every training row", name)
        elif not kept:
            log.warning(
                "column '%s': every category is rare (fewer than rare_below: %d training rows), "
                "so it says nothing; drop it, or lower rare_below", name, self.rare_below,
            )  # fmt: skip
        elif self._is_embedded(name):
            log.info("column '%s': %d categories, embedded in vectors of length %d",
                     name, len(kept), self._width(len(kept)))  # fmt: skip
            often = dict(zip(keys, counts, strict=True))
            codes_of = enumerate(self.categories_[name], start=1)
            ranked = sorted(codes_of, key=lambda code_and_key: -often[code_and_key[1]])
            self.common_[name] = sorted(code for code, _ in ranked[:SUMMARIZED_CATEGORIES])
        elif len(kept) > MANY_CATEGORIES:
            log.warning(
                "column '%s' has %d categories and as many one-hot columns; is it an identifier "
                "or a number? preprocessing.embedding gives codes a short vector each",
                name, len(kept),
            )  # fmt: skip

    def _encode_categories(self, name: str, column: pandas.Series) -> np.ndarray:
        known = {key: code for code, key in enumerate(self.categories_[name], start=1)}
        whole, spellings = name in self.whole_, self.spellings_[name]
        codes, keys = category_codes(
            column, lambda value: known_key(value, known, whole, spellings)
        )
        # The last entry is what code -1 (missing) picks.
        table = np.array([*(known.get(key, 0) for key in keys), np.nan], dtype="float32")
        return table[codes]

    def _one_hot(self, name: str) -> list[str]:
        """Names of a column's one-hot columns, the rare first."""
        found = [f"{name} = {category}" for category in self.categories_[name]]
        return [f"{name} = (rare)", *found] if name in self.rare_ else found

    def _is_embedded(self, name: str) -> bool:
        if self.embedding == "off":
            return False
        most = FEW_CATEGORIES if self.embedding == "auto" else int(self.embedding)
        return len(self.categories_[name]) > most

    def _width(self, categories: int) -> int:
        # Larger tables of vectors than these are not worth their parameters for cohorts of the
        # usual size.
        return self.embedding_width or min(WIDEST_EMBEDDING, round(1.6 * categories**0.56))

    def embedding_layer(self) -> keras.Layer | None:
        """The trained layer behind the preprocessing that embeds columns of many categories.

        Takes (n, len(output_names)); None where no column is embedded.
        """
        groups, start = [], len(self.fill_)
        for name in (name for name in self.names if name not in self.fill_):
            count = len(self._one_hot(name))
            if self._is_embedded(name):
                groups.append((start, count, self._width(len(self.categories_[name]))))
            start += count
        if not groups:
            return None
        from medkit.layers.tabular import CategoryEmbedding

        return CategoryEmbedding(groups)

    def _summary_columns(self, name: str, values: np.ndarray) -> dict[str, np.ndarray]:
        """One-hot columns (n,) float32 of a column's codes: the rare, the common and the others.

        Args:
            name: The column.
            values: (n,) codes: 1 … K, 0 for rare or unseen, NaN for missing.
        """
        categories = self.categories_[name]
        shown = self.common_.get(name) or range(1, len(categories) + 1)
        columns = {f"{name} = (rare)": values == 0} if name in self.rare_ else {}
        columns |= {f"{name} = {categories[code - 1]}": values == code for code in shown}
        if len(shown) < len(categories):
            columns[f"{name} = (other)"] = (values > 0) & ~np.isin(values, shown)
        return {each: found.astype("float32") for each, found in columns.items()}
