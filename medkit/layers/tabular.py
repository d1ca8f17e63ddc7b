"""Table columns in physical units -> standardized numbers, one-hot categories, indicators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="medkit")
class TabularPreprocessing(keras.layers.Layer):
    """Impute, standardize and one-hot encode, inside the model.

    Numbers are in physical units with NaN for missing; categories are codes: 1 … K in the order
    of the training categories, 0 for rare or unseen, NaN for missing (an all-zero one-hot).
    The output holds the numeric columns, then the one-hot columns, then the indicators, each
    group in column order.

    Computes in float32 whatever the precision policy: float16 ends at 65504.

    Args:
        categories: Per column: None for a number, else how many categories K it has.
        rare: Per column: whether code 0 gets a one-hot column of its own.
        indicators: Per column: whether a column follows that is 1 where the value is missing.

    Input shape: (batch, columns) float. Output shape: (batch, features) float32.
    """

    def __init__(
        self,
        categories: Sequence[int | None],
        rare: Sequence[bool],
        indicators: Sequence[bool],
        **kwargs: Any,
    ):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.categories, self.rare, self.indicators = (
            list(categories),
            list(rare),
            list(indicators),
        )
        self.numeric_columns = [i for i, count in enumerate(self.categories) if count is None]
        hot = [
            (column, code)
            for column, count in enumerate(self.categories)
            if count is not None
            for code in range(0 if self.rare[column] else 1, count + 1)
        ]
        self.hot_columns = [column for column, _ in hot]
        self.hot_codes = [code for _, code in hot]
        self.indicator_columns = [i for i, wanted in enumerate(self.indicators) if wanted]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if input_shape[-1] != len(self.categories):
            raise ValueError(
                f"{type(self).__name__} expects {len(self.categories)} columns, "
                f"got input of shape {tuple(input_shape)}"
            )
        count = len(self.numeric_columns)
        if count:
            self.fill, self.center, self.scale = (
                self.add_weight(shape=(count,), initializer=start, trainable=False, name=name)
                for name, start in (("fill", "zeros"), ("center", "zeros"), ("scale", "ones"))
            )

    def set_statistics(
        self, fill: Sequence[float], center: Sequence[float], scale: Sequence[float]
    ) -> None:
        """Set fill values, means and standard deviations, one a numeric column, in its unit."""
        if self.numeric_columns:
            self.fill.assign(np.asarray(fill, "float32"))
            self.center.assign(np.asarray(center, "float32"))
            self.scale.assign(np.asarray(scale, "float32"))

    def call(self, inputs: Any) -> Any:
        missing = ops.isnan(inputs)
        # -1 is no category's code, so a missing category gives an all-zero one-hot.
        present = ops.where(missing, -1.0, inputs)
        parts = []
        if self.numeric_columns:
            absent = self._columns(missing, self.numeric_columns)
            numbers = self._columns(present, self.numeric_columns)
            # Converted: Keras hands JAX's where the variable itself, which grad refuses.
            numbers = ops.where(absent, ops.convert_to_tensor(self.fill), numbers)
            parts.append((numbers - self.center) / self.scale)
        if self.hot_columns:
            codes = self._columns(present, self.hot_columns)
            hot = ops.equal(codes, np.asarray(self.hot_codes, "float32"))
            parts.append(ops.cast(hot, self.compute_dtype))
        if self.indicator_columns:
            absent = self._columns(missing, self.indicator_columns)
            parts.append(ops.cast(absent, self.compute_dtype))
        return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)

    def _columns(self, values: Any, columns: list[int]) -> Any:
        if columns == list(range(len(self.categories))):
            return values
        return ops.take(values, np.asarray(columns, "int32"), axis=1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        groups = (self.numeric_columns, self.hot_columns, self.indicator_columns)
        return (input_shape[0], sum(len(group) for group in groups))


@keras.saving.register_keras_serializable(package="medkit")
class CategoryEmbedding(keras.layers.Layer):
    """Groups of one-hot columns -> a trained vector each; all other columns as they are.

    Each category of a column gets a vector that is learned with the network (Guo and Berkhahn,
    Entity embeddings of categorical variables, arXiv:1604.06737, 2016); a missing one, whose
    one-hot columns are all zero, gets the zero vector. The vectors of a column stand where its
    one-hot columns stood.

    Args:
        groups: ``(start, count, width)`` of each group, in the order of the columns: its first
            one-hot column, how many there are, and the length of the vectors.

    Input shape: (batch, features). Output shape: (batch, fewer features).
    """

    def __init__(self, groups: Sequence[Sequence[int]], **kwargs: Any):
        super().__init__(**kwargs)
        self.groups = [(int(start), int(count), int(width)) for start, count, width in groups]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the vectors of all categories."""
        self.vectors = [
            self.add_weight(
                name=f"vectors_{number}",
                shape=(count, width),
                initializer=keras.initializers.RandomUniform(-0.05, 0.05),
            )
            for number, (_, count, width) in enumerate(self.groups)
        ]

    def call(self, inputs: Any) -> Any:
        """The columns, the groups among them as vectors."""
        parts, done = [], 0
        for (start, count, _), vectors in zip(self.groups, self.vectors, strict=True):
            if start > done:
                parts.append(inputs[:, done:start])
            # A one-hot row times the vectors picks one of them, and has a gradient on the row.
            parts.append(ops.matmul(inputs[:, start : start + count], vectors))
            done = start + count
        if done < inputs.shape[-1]:
            parts.append(inputs[:, done:])
        return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(batch, features), each group's count replaced by its width."""
        batch, features = input_shape
        saved = sum(count - width for _, count, width in self.groups)
        return (batch, None if features is None else features - saved)
