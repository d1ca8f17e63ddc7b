"""The fitted modalities of all inputs by name: from raw inputs to arrays, and to named features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from medkit.core.errors import DataError, did_you_mean
from medkit.core.lazy import pd
from medkit.core.registry import modalities as registered
from medkit.data.cohort import Feature
from medkit.data.inputs import Inputs, presence_name
from medkit.modalities.modality import Modality

if TYPE_CHECKING:
    import keras
    import pandas


def preprocessing_name(name: str) -> str:
    """Name of the layer that prepares an input inside the saved network."""
    return f"{name}_preprocessing"


class Encoder:
    """One modality an input, each fitted as it is alone, on the samples that have the input.

    Args:
        modalities: Input name -> modality, in the order of the cohort's inputs.
        optional: Inputs that a sample may lack; ``fit`` adds those that some training samples
            lack. Beside each, ``encode`` says which samples have it (``presence_name``).
        fitted: Inputs whose modality is fitted already, and is left as it is.
    """

    def __init__(
        self,
        modalities: Mapping[str, Modality],
        optional: Iterable[str] = (),
        fitted: Iterable[str] = (),
    ):
        self.modalities = dict(modalities)
        self.optional, self.fitted = set(optional), set(fitted)

    def fit(self, raw: Mapping[str, Any]) -> Self:
        """Fit each modality on its input's training rows.

        Raises:
            DataError: As each modality raises; inputs that are not those of the modalities.
        """
        for name, values in self.by_name(raw).items():
            present = _present(values)
            if present is not None:
                self.optional.add(name)
                if not present.any():
                    raise DataError(
                        f"no training sample has the input '{name}'",
                        hint="Leave it out of the data set, or divide otherwise (split, seed), so "
                        "that some training samples have it.",
                    )
                values = values.take(np.flatnonzero(present))
            if name not in self.fitted:
                self.modalities[name].fit(values)
        return self

    def keep(self, raw: Mapping[str, Any]) -> np.ndarray:
        """(n,) boolean: the rows that every modality can use."""
        usable = []
        for name, values in self.by_name(raw).items():
            if values is not None:
                present = _present(values)
                mine = self.modalities[name].keep(values)
                usable.append(mine if present is None else mine | ~present)
        return np.logical_and.reduce(usable)

    def encode(self, raw: Mapping[str, Any]) -> Inputs:
        """The rows of every input as arrays, in physical units.

        Beside an input that a sample may lack, (n, 1) float32: 1 where the sample has it, else 0.

        Raises:
            DataError: As each modality raises; inputs of different length.
        """
        given = self.by_name(raw)
        lengths = {name: len(values) for name, values in given.items() if values is not None}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"'{name}' {count}" for name, count in lengths.items())
            raise DataError(f"the inputs differ in their number of rows: {listed}")
        count = next(iter(lengths.values()))
        arrays = {}
        for name, values in given.items():
            modality, present = self.modalities[name], _present(values)
            if values is None:
                arrays[name] = np.zeros((count, *modality.input_shape_), modality.input_dtype_)
                present = np.zeros(count, dtype=bool)
            else:
                arrays[name] = modality.encode(values)
            if name in self.optional:
                known = np.ones(count, dtype=bool) if present is None else present
                arrays[presence_name(name)] = known.astype("float32")[:, None]
            elif present is not None and not present.all():
                raise DataError(
                    f"{(~present).sum()} samples lack the input '{name}', which every sample had "
                    "in training",
                    hint="Train with input_dropout, so that the network learns to do without it.",
                )
        return Inputs(arrays)

    def by_name(self, data: Any) -> dict[str, Any]:
        """Each input's data, of ``{name: data}`` or, where there is one input, of bare data.

        An input that a sample may lack may be left out: its data are None then.

        Raises:
            DataError: An input is missing, or has an unknown name.
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
        given = {name: data.get(name) for name in names}
        needed = [name for name in names if name not in self.optional]
        lacking = [name for name in needed if given[name] is None]
        if lacking:
            raise DataError(f"the input '{lacking[0]}' is missing; needed: {', '.join(needed)}")
        if all(values is None for values in given.values()):
            raise DataError(f"no input is given; the model takes: {', '.join(names)}")
        return given

    def preprocessing(self) -> dict[str, keras.Layer]:
        """Input name -> new layer from its encoded samples to what a model takes."""
        layers = {name: each.preprocessing() for name, each in self.modalities.items()}
        for name, layer in layers.items():
            layer.name = preprocessing_name(name)
        return layers

    def summarize(self, inputs: Inputs) -> pandas.DataFrame:
        """Named numbers of every sample: those of all inputs side by side."""
        frames = []
        for name, each in self.modalities.items():
            frame = each.summarize(inputs[name])
            if name in self.optional:
                frame = frame.astype(float)
                frame[np.asarray(inputs[presence_name(name)])[:, 0] == 0] = np.nan
            frames.append(frame)
        columns = self._distinct([list(map(str, frame.columns)) for frame in frames])
        return pd.concat(
            [frame.set_axis(names, axis=1) for frame, names in zip(frames, columns, strict=True)],
            axis=1,
        )

    @property
    def input_shapes(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Name -> shape of one sample and type, of every array that ``encode`` gives."""
        found = {}
        for name, each in self.modalities.items():
            found[name] = (each.input_shape_, each.input_dtype_)
            if name in self.optional:
                found[presence_name(name)] = ((1,), "float32")
        return found

    @property
    def features(self) -> tuple[Feature, ...]:
        """The columns or channels of all inputs, named as in the summaries."""
        found = [each.features for each in self.modalities.values()]
        names = self._distinct([[feature.name for feature in each] for each in found])
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

    def _distinct(self, names: list[list[str]]) -> list[list[str]]:
        """Names of each input's features, with the input before those that two inputs share."""
        count = Counter(name for each in names for name in set(each))
        return [
            [f"{source} {name}" if count[name] > 1 else name for name in each]
            for source, each in zip(self.modalities, names, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Input name -> parameters and learned state of its modality, as strict JSON."""
        return {
            name: {**each.to_dict(), "optional": name in self.optional}
            for name, each in self.modalities.items()
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Encoder:
        """The fitted encoder that ``to_dict`` described.

        Raises:
            UnknownNameError: A modality is not known.
        """
        found: dict[str, Modality] = {}
        for name, state in document.items():
            factory: Any = registered.get(state["modality"]).factory
            found[name] = factory.from_dict(state)
        return cls(found, [name for name, state in document.items() if state.get("optional")])


def _present(values: Any) -> np.ndarray | None:
    """Which samples have an input; None where all have it."""
    found: np.ndarray | None = getattr(values, "present", None)
    return found
