"""A sequence with static features beside it: two modalities, each fitted as it is alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.core.registry import modalities
from medkit.data.cohort import Feature, JoinedInput
from medkit.modalities.modality import Modality, check_unique
from medkit.modalities.tabular import Tabular

if TYPE_CHECKING:
    import keras
    import pandas


class WithStatic(Modality):
    """A sequence (series or triplets) and a table of one row a sample.

    Encoded: float32 (n, steps, channels + columns), the static columns in the first step and NaN
    in the others (``medkit.layers.with_static``). In the model alike.

    Args:
        sequence: The modality of what has a course.
        static: The modality of what has none.
    """

    def __init__(self, sequence: Modality, static: Tabular):
        self.sequence, self.static_features = sequence, static

    def __getattr__(self, name: str) -> Any:
        # What is not said here is as the sequence has it: its steps, its standardization.
        if name in ("sequence", "static_features"):
            raise AttributeError(name)
        return getattr(self.sequence, name)

    @property
    def modality(self) -> str:  # type: ignore[override]
        return self.sequence.modality

    @property
    def static(self) -> bool:  # type: ignore[override]
        return self.sequence.static and self.static_features.static

    def fit(self, raw: Any) -> Self:
        """Fit both on training rows.

        Raises:
            DataError: As each raises; a name that both have.
        """
        sequence, static = self._both(raw)
        self.sequence.fit(sequence)
        self.static_features.fit(static)
        check_unique(self.names, "channels and static features")
        return self

    def encode(self, raw: Any) -> np.ndarray:
        """(n, steps, channels + columns) float32."""
        sequence, static = self._both(raw)
        first = self.sequence.encode(sequence)
        columns = self.static_features.encode(static)
        packed = np.full((*first.shape[:2], first.shape[2] + columns.shape[1]), np.nan, "float32")
        packed[:, :, : first.shape[2]] = first
        packed[:, 0, first.shape[2] :] = columns
        return packed

    def keep(self, raw: Any) -> np.ndarray:
        sequence, static = self._both(raw)
        return self.sequence.keep(sequence) & self.static_features.keep(static)

    @property
    def columns_(self) -> int:
        """Number of static columns, as encoded."""
        return self.static_features.input_shape_[0]

    @property
    def input_shape_(self) -> tuple[int, ...]:
        steps, channels = self.sequence.input_shape_
        return (steps, channels + self.columns_)

    @property
    def features(self) -> tuple[Feature, ...]:
        return self.sequence.features + self.static_features.features

    @property
    def output_names(self) -> list[str]:
        """Names of the model's inner channels and columns."""
        sequence: Any = self.sequence
        return [*sequence.output_names, *self.static_features.output_names]

    def preprocessing(self) -> keras.Layer:
        from medkit.layers.with_static import StaticPreprocessing

        sequence, static = self.sequence.preprocessing(), self.static_features.preprocessing()
        return StaticPreprocessing(sequence, static, self.columns_)

    def summarize(self, x: np.ndarray) -> pandas.DataFrame:
        """The summaries of the sequence, then the static columns."""
        count = self.columns_
        return pd.concat(
            [
                self.sequence.summarize(x[:, :, :-count]),
                self.static_features.summarize(x[:, 0, -count:]),
            ],
            axis=1,
        )

    def to_dict(self) -> dict[str, Any]:
        return {**self.sequence.to_dict(), "static": self.static_features.to_dict()}

    def _both(self, raw: Any) -> tuple[Any, Any]:
        if isinstance(raw, JoinedInput):
            return raw.sequence, raw.static
        if isinstance(raw, Mapping) and {*raw} == {"sequence", "static"}:
            return raw["sequence"], raw["static"]
        raise DataError(
            f"the model takes a {self.modality} input and static features beside it",
            hint='Give both: {"sequence": array, "static": table}.',
        )


def fitted_from(name: str, document: Mapping[str, Any]) -> Modality:
    """The fitted modality that ``to_dict`` described, with static features or without.

    Args:
        name: The registered name, or an import path, of the modality (of the sequence's).
        document: What ``to_dict`` gave.

    Raises:
        UnknownNameError: No modality of that name.
    """
    rest = dict(document)
    static = rest.pop("static", None)
    found: Modality = modalities.get(name).factory.from_dict(rest)
    return found if static is None else WithStatic(found, Tabular.from_dict(static))
