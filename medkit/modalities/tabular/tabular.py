"""Tables: numeric and categorical columns."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.core.registry import modalities
from medkit.data.cohort import Feature, RawInput
from medkit.data.stored_arrays import as_array, by_channel
from medkit.data.stored_columns import StoredColumns, stored_rows
from medkit.modalities.files import FileRows, Written, values_of
from medkit.modalities.modality import (
    Gives,
    absent_names,
    check_unique,
    feature_dicts,
    log,
    statistics,
)
from medkit.modalities.preparation import filling
from medkit.modalities.tabular.categories import CategoricalColumns
from medkit.modalities.tabular.columns import (
    category_codes,
    clean,
    infer_features,
    numeric_values,
)

if TYPE_CHECKING:
    import keras
    import pandas


@modalities.register(name="tabular")
class Tabular(CategoricalColumns):
    """Numeric and categorical columns: filled, standardized and one-hot encoded in the model.

    A column of many categories (ICD codes) is embedded: behind its one-hot columns stands a layer
    that learns a vector for each category together with the network.

    Encoded: float32 (n, columns) in physical units; categories as codes 1 … K, 0 for rare or
    unseen, NaN for missing. In the model: numbers, then one-hot columns, then indicators. A
    missing category gives zeros in its one-hot columns; so does an unseen one where training
    had no rare category to learn from.

    Args:
        missing: What replaces a missing number: the training rows' mean or median, a constant,
            or nothing, rows with a gap being dropped.
        constant: The constant, in each column's own unit.
        indicators: Add a column that is 1 where the value is missing, for each column with gaps
            in the training rows.
        standardize: Subtract the training mean and divide by the standard deviation.
        rare_below: A category found in fewer training rows than this goes to a common bucket for
            rare and unseen ones, and its name is not kept in the run.
        embedding: Columns with more categories than this (after the rare ones are merged) are
            embedded; auto: 50.
        embedding_width: Length of a category's vector; by default ``1.6 * K ** 0.56`` for K
            categories (the rule of the fastai library), at most 32.
    """

    modality: ClassVar[str] = "tabular"
    gives: ClassVar[Gives] = "vector"
    noun: ClassVar[str] = "tables"
    deterministic: ClassVar[bool] = True
    center_: dict[str, float]
    scale_: dict[str, float]

    def __init__(
        self,
        *,
        missing: Literal["mean", "median", "constant", "drop"] = "median",
        constant: float = 0.0,
        indicators: bool = True,
        standardize: bool = True,
        rare_below: Annotated[int, Field(ge=1)] = 5,
        embedding: Literal["auto", "off"] | Annotated[int, Field(ge=2)] = "auto",
        embedding_width: Annotated[int, Field(ge=1)] | None = None,
    ):
        self.missing, self.constant, self.indicators = missing, constant, indicators
        self.standardize, self.rare_below = standardize, rare_below
        self.embedding, self.embedding_width = embedding, embedding_width

    def fit(self, raw: RawInput | pandas.DataFrame) -> Self:
        """Learn fill values, means, standard deviations and categories from training rows.

        Raises:
            DataError: No rows, a column named twice, text in a numeric column, infinite values,
                or nothing but empty columns.
        """
        self._check_parameters()
        frame = self._frame(raw)
        given = raw.features if isinstance(raw, RawInput) else ()
        features = given or infer_features(frame)
        check_unique([feature.name for feature in features], "columns")
        self.features_ = feature_dicts(features)
        frame = self._aligned(frame)
        if self.missing == "drop":
            complete = _complete(frame)
            frame = frame[complete] if isinstance(frame, pd.DataFrame) else frame.iloc[complete]
        self._check_rows(len(frame))
        self.categories_, self.rare_, self.missing_ = {}, [], []
        self.whole_, self.spellings_, self.common_ = [], {}, {}
        self.fill_, self.center_, self.scale_ = {}, {}, {}
        for feature in self.features:
            if feature.kind == "categorical":
                self._fit_categories(feature.name, frame[feature.name])
            else:
                self._fit_numbers(feature.name, frame[feature.name])
        if not self.output_names:
            raise DataError("no column has a value in any training row")
        return self

    def _fit_numbers(self, name: str, column: pandas.Series) -> None:
        values = numeric_values(name, column)
        observed = values[~np.isnan(values)]
        if len(observed) < len(values):
            self.missing_.append(name)
        if not len(observed):
            log.warning("column '%s' is missing in every training row: filled", name)
        self.fill_[name], self.center_[name], self.scale_[name] = statistics(
            observed, self.missing, self.constant, self.standardize
        )

    def encode(self, raw: RawInput | pandas.DataFrame | np.ndarray) -> np.ndarray:
        """Rows as float32 (n, columns), the columns aligned by name to the fitted ones.

        A plain array has the fitted columns in the fitted order (``names``). Values that mean
        'missing', and those outside a range, are treated as the dataset treated them.

        Raises:
            DataError: A column is missing, or holds text where numbers are expected, or infinities.
        """
        frame = self._aligned(self._frame(raw))
        to_clean, columns = self._to_clean(raw), len(self.features)
        outside: Counter[str] = Counter()
        if isinstance(frame, StoredColumns):
            blocks = (self._encoded(block, to_clean, outside) for block in frame.blocks())
            encoded = stored_rows(blocks, len(frame), columns, frame.folder.parent)
        else:
            encoded = self._encoded(frame, to_clean, outside)
        for name, count in outside.items():
            log.info("column '%s': %d of %d values are rare or unseen in training",
                     name, count, len(encoded))  # fmt: skip
        return encoded

    def _encoded(
        self, frame: pandas.DataFrame, to_clean: list[Feature], outside: Counter[str]
    ) -> np.ndarray:
        """Rows in memory as float32; ``outside`` counts rare or unseen categories."""
        frame = frame.assign(**{f.name: clean(frame[f.name], f) for f in to_clean})
        encoded = np.empty((len(frame), len(self.features)), dtype="float32")
        for position, feature in enumerate(self.features):
            column = frame[feature.name]
            if feature.kind == "categorical":
                encoded[:, position] = self._encode_categories(feature.name, column)
                if count := int((encoded[:, position] == 0).sum()):
                    outside[feature.name] += count
            else:
                encoded[:, position] = numeric_values(feature.name, column)
        return encoded

    def keep(self, raw: RawInput | pandas.DataFrame | np.ndarray) -> np.ndarray:
        """(n,) boolean: with ``missing="drop"``, the rows without a gap; else all."""
        frame = self._frame(raw)
        if self.missing != "drop":
            return np.ones(len(frame), dtype=bool)
        if "features_" in vars(self):
            encoded = self.encode(raw)
            # Column by column: all together may not fit in memory.
            return ~np.any([np.isnan(each) for each in encoded.T], axis=0)
        return _complete(frame)

    def _frame(self, raw: Any) -> Any:
        """The values as a frame, or as the columns on disk that they are."""
        values = self._values(raw)
        if isinstance(values, StoredColumns):
            return values
        if isinstance(values, pd.DataFrame):
            frame = values.rename(columns=str)
            check_unique(list(frame.columns), "columns")
            return frame
        values = np.asarray(values)
        if "features_" not in vars(self):
            names = [f"column_{i + 1}" for i in range(values.shape[-1])]
        else:
            names = self.names
        if values.ndim != 2 or values.shape[1] != len(names):
            raise DataError(
                f"an array of shape {values.shape} was given; expected (rows, {len(names)})",
                hint=f"Its columns must be, in this order: {', '.join(names)}.",
            )
        return pd.DataFrame(values, columns=names)

    def _aligned(self, frame: Any) -> Any:
        given = list(frame.columns)
        absent = absent_names(self.names, given)
        if absent:
            raise DataError(
                f"{len(absent)} column{'s' * (len(absent) > 1)} missing: {', '.join(absent)}",
                hint=f"The model was trained on: {', '.join(self.names)}.",
            )
        extra = [name for name in given if name not in self.names]
        if extra:
            log.info("ignored %d columns the model was not trained on: %s",
                     len(extra), ", ".join(extra))  # fmt: skip
        return frame[self.names]

    @property
    def input_shape_(self) -> tuple[int, ...]:
        return (len(self.features),)

    @property
    def output_names(self) -> list[str]:
        """Names of the model's inner features, in the order the preprocessing gives them."""
        marked = [f"{name} missing" for name in self.names if self._indicator(name)]
        numeric = [name for name in self.names if name in self.fill_]
        hot = [
            each for name in self.names if name in self.categories_ for each in self._one_hot(name)
        ]
        return numeric + hot + marked

    def _indicator(self, name: str) -> bool:
        return self.indicators and name in self.missing_

    def preprocessing(self) -> keras.Layer:
        """The layer that takes encoded rows to (n, len(output_names)) float32."""
        from medkit.layers.tabular import TabularPreprocessing

        counts = [
            len(self.categories_[f.name]) if f.kind == "categorical" else None
            for f in self.features
        ]
        layer = TabularPreprocessing(
            categories=counts,
            rare=[name in self.rare_ for name in self.names],
            indicators=[self._indicator(name) for name in self.names],
        )
        layer.build((None, len(counts)))
        numeric = [name for name in self.names if name in self.fill_]
        learned = (self.fill_, self.center_, self.scale_)
        layer.set_statistics(*([values[name] for name in numeric] for values in learned))
        return layer

    def write(self, raw: RawInput, folder: Path, rows: FileRows) -> Written:
        """Its columns stand in the table of the samples, read by ``table``."""
        features = raw.features or tuple(Feature(column) for column in raw.values.columns)
        columns = {feature.name: raw.values[feature.name] for feature in features}
        codes = [feature.name for feature in features if feature.kind == "categorical"]
        uses = {"inputs": list(columns), **({"categorical": codes} if codes else {})}
        return Written("table", values_of(features), columns=columns, uses=uses)

    def gaps(self) -> tuple[str, bool]:
        return filling(self.missing, self.indicators)

    def summarize(self, x: np.ndarray) -> pandas.DataFrame:
        """Numbers as they are (NaN where missing) and categories as one-hot columns.

        Of an embedded column the 200 most frequent training categories have a column each, the
        others one together.
        """
        columns: dict[str, np.ndarray] = {}
        for feature, (_, values) in zip(self.features, by_channel(as_array(x)), strict=True):
            name, numeric = feature.name, feature.kind == "numeric"
            columns |= {name: values} if numeric else self._summary_columns(name, values)
        return pd.DataFrame(columns)


def _complete(frame: Any) -> np.ndarray:
    """(n,) boolean: rows without a missing or blank value."""
    complete = np.ones(len(frame), dtype=bool)
    for name in frame.columns:
        complete &= category_codes(frame[name])[0] >= 0
    return complete
