"""The fitted modalities of all inputs by name: from raw inputs to arrays, and to named features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from medkit.core.errors import DataError, did_you_mean
from medkit.core.lazy import pd
from medkit.core.registry import modalities as registered
from medkit.data.cohort import Feature
from medkit.data.inputs import Inputs
from medkit.modalities.modality import Modality

if TYPE_CHECKING:
    import keras
    import pandas


def preprocessing_name(name: str) -> str:
    """Name of the layer that prepares an input inside the saved network."""
    return f"{name}_preprocessing"


class Encoder:
    """One modality an input, each fitted as it is alone.

    Args:
        modalities: Input name -> modality, in the order of the cohort's inputs.
    """

    def __init__(self, modalities: Mapping[str, Modality]):
        self.modalities = dict(modalities)

    def fit(self, raw: Mapping[str, Any]) -> Self:
        """Fit each modality on its input's training rows.

        Raises:
            DataError: As each modality raises; inputs that are not those of the modalities.
        """
        for name, values in self.by_name(raw).items():
            self.modalities[name].fit(values)
        return self

    def keep(self, raw: Mapping[str, Any]) -> np.ndarray:
        """(n,) boolean: the rows that every modality can use."""
        usable = (self.modalities[n].keep(values) for n, values in self.by_name(raw).items())
        return np.logical_and.reduce(list(usable))

    def encode(self, raw: Mapping[str, Any]) -> Inputs:
        """The rows of every input as arrays, in physical units.

        Raises:
            DataError: As each modality raises; inputs of different length.
        """
        given = self.by_name(raw)
        lengths = {name: len(values) for name, values in given.items()}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"'{name}' {count}" for name, count in lengths.items())
            raise DataError(f"the inputs differ in their number of rows: {listed}")
        return Inputs({name: self.modalities[name].encode(v) for name, v in given.items()})

    def by_name(self, data: Any) -> dict[str, Any]:
        """Each input's data, of ``{name: data}`` or, where there is one input, of bare data.

        Raises:
            DataError: An input is lacking, or there is none of that name.
        """
        names = list(self.modalities)
        if not isinstance(data, Mapping):
            if len(names) > 1:
                listed = ", ".join(f'"{name}": …' for name in names)
                raise DataError(
                    f"the model takes {len(names)} inputs: {', '.join(names)}",
                    hint=f"Give each by name: {{{listed}}}.",
                )
            return {names[0]: data}
        for name in data:
            if name not in names:
                near = did_you_mean(str(name), names)
                raise DataError(f"no input is called '{name}'{near}; known: {', '.join(names)}")
        lacking = [name for name in names if name not in data]
        if lacking:
            raise DataError(f"the input '{lacking[0]}' is lacking; needed: {', '.join(names)}")
        return {name: data[name] for name in names}

    def preprocessing(self) -> dict[str, keras.Layer]:
        """Input name -> new layer from its encoded samples to what a model takes."""
        layers = {name: each.preprocessing() for name, each in self.modalities.items()}
        for name, layer in layers.items():
            layer.name = preprocessing_name(name)
        return layers

    def summarize(self, inputs: Inputs) -> pandas.DataFrame:
        """Named numbers of every sample: those of all inputs side by side."""
        frames = [each.summarize(inputs[name]) for name, each in self.modalities.items()]
        columns = self._told_apart([list(map(str, frame.columns)) for frame in frames])
        return pd.concat(
            [frame.set_axis(names, axis=1) for frame, names in zip(frames, columns, strict=True)],
            axis=1,
        )

    @property
    def features(self) -> tuple[Feature, ...]:
        """The columns or channels of all inputs, named as in the summaries."""
        found = [each.features for each in self.modalities.values()]
        names = self._told_apart([[feature.name for feature in each] for each in found])
        return tuple(
            replace(feature, name=name)
            for each, known in zip(found, names, strict=True)
            for feature, name in zip(each, known, strict=True)
        )

    def unit_of(self, summary: str) -> str | None:
        """Unit of a column of the summaries; None where it has none."""
        units = (
            each.unit_of(summary.removeprefix(f"{name} ")) or each.unit_of(summary)
            for name, each in self.modalities.items()
        )
        return next((unit for unit in units if unit), None)

    @property
    def names(self) -> list[str]:
        """Names of the columns or channels of all inputs."""
        return [feature.name for feature in self.features]

    def holding(self, features: Iterable[str]) -> str | None:
        """Name of the first input that has all these columns or channels; None if none has."""
        wanted = set(features)
        having = (name for name, each in self.modalities.items() if wanted <= {*each.names})
        return next(having, None)

    def _told_apart(self, names: list[list[str]]) -> list[list[str]]:
        """Names of each input's features, with the input before those that two inputs share."""
        count = Counter(name for each in names for name in set(each))
        return [
            [f"{source} {name}" if count[name] > 1 else name for name in each]
            for source, each in zip(self.modalities, names, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Input name -> parameters and learned state of its modality, as strict JSON."""
        return {name: each.to_dict() for name, each in self.modalities.items()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Encoder:
        """The fitted encoder that ``to_dict`` described.

        Raises:
            UnknownNameError: A modality is not known.
        """
        found: dict[str, Callable[..., Modality]] = {
            name: registered.get(state["modality"]).factory for name, state in document.items()
        }
        return cls({name: found[name].from_dict(state) for name, state in document.items()})  # type: ignore[attr-defined]
