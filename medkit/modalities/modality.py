"""What the modalities share: checked parameters, state as JSON, statistics of columns."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

import numpy as np

from medkit.core.errors import ConfigError, DataError, Problem, did_you_mean
from medkit.core.lazy import pd
from medkit.core.registry import signature_model
from medkit.core.values import bounded
from medkit.data.cohort import Feature, RawInput
from medkit.modalities.files import FileRows, Written
from medkit.modalities.hooks import ExplanationHooks, LeakageHooks, Summarized

if TYPE_CHECKING:
    import keras
    import pandas

log = logging.getLogger("medkit")

#: What a model sees of an input: (n, features), (n, steps, channels), (n, [depth,] height, width,
#: channels), or (n, events, …), the events of each sample wherever in time they lie.
Gives: TypeAlias = Literal["vector", "steps", "grid", "events"]


class Modality(ExplanationHooks, Summarized, LeakageHooks):
    """How one kind of raw input becomes arrays; what is learned in ``fit`` ends in ``_``.

    A subclass takes keyword-only parameters, keeps each under its own name, and learns only
    values that JSON can hold.
    """

    modality: ClassVar[str]
    gives: ClassVar[Gives]
    #: Whether its steps are equally far apart in time.
    regular: ClassVar[bool] = False
    deterministic: ClassVar[bool]
    #: Settings that move pixels in training, which a mask would have to follow.
    moves_pixels: ClassVar[tuple[str, ...]] = ()
    features_: list[dict[str, Any]]

    def fit(self, raw: Any) -> Self:
        raise NotImplementedError

    def encode(self, raw: Any) -> np.ndarray:
        raise NotImplementedError

    def preprocessing(self) -> keras.Layer:
        raise NotImplementedError

    def embedding_layer(self) -> keras.Layer | None:
        """A layer trained with the network, between the preprocessing and the model; or None."""
        return None

    def summarize(self, x: np.ndarray) -> pandas.DataFrame:
        """Named numbers of each sample (n, features), NaN where missing: what baselines, Table 1
        and the leakage gate know of an input. Names are unique."""
        raise NotImplementedError

    def course(self, x: np.ndarray, name: str) -> np.ndarray:
        """(n, steps) float64: one feature's values in the order of time, NaN where not measured."""
        values = np.asarray(x[..., self.names.index(name)], dtype=np.float64)
        return values.reshape(len(x), -1)

    @property
    def input_shape_(self) -> tuple[int, ...]:
        """Shape of one encoded sample."""
        raise NotImplementedError

    @property
    def input_dtype_(self) -> str:
        """Type of the encoded numbers."""
        return "float32"

    @property
    def features(self) -> tuple[Feature, ...]:
        """The fitted columns or channels, with units, in encoded order."""
        return tuple(
            Feature(**{**each, "missing_values": tuple(each["missing_values"])})
            for each in self._learned("features_")
        )

    @property
    def names(self) -> list[str]:
        """Names of the fitted columns or channels, in encoded order (empty where unnamed)."""
        return [feature.name for feature in self.features]

    def _to_clean(self, raw: Any) -> list[Feature]:
        """The fitted features whose sentinels and range have yet to be applied to ``raw``.

        A dataset that says the same of a feature has done so; a second time could do harm, as
        where a value was set to the end of its range and that number means 'missing'.
        """
        given = raw.features if isinstance(raw, RawInput) else ()
        done = {(f.name, *_cleaning(f)) for f in given}
        return [f for f in self.features if _cleaning(f) and (f.name, *_cleaning(f)) not in done]

    def _compare_names(self, given: list[str], what: str, left_out: Iterable[str] = ()) -> None:
        """Log which fitted features are absent, and which given ones are neither fitted nor known
        to have been ``left_out``.

        Raises:
            DataError: A name is given twice, or none of the fitted ones is.
        """
        check_unique(given, what)
        absent = absent_names(self.names, given)
        if len(absent) == len(self.names):
            raise DataError(
                f"none of the {what} the model was trained on was given: {', '.join(absent)}"
            )
        if absent:
            log.info("%d %s not measured at all in this data: %s",
                     len(absent), what, ", ".join(absent))  # fmt: skip
        extra = [name for name in given if name not in {*self.names, *left_out}]
        if extra:
            log.info("ignored %d %s the model was not trained on: %s",
                     len(extra), what, ", ".join(extra))  # fmt: skip

    def write(self, raw: RawInput, folder: Path, rows: FileRows) -> Written:
        """Write a raw input as ordinary files that a data set reads back; needs no fit.

        Raises:
            DataError: It cannot be written so.
        """
        raise DataError(f"{self.noun} cannot be written as ordinary files")

    def keep(self, raw: Any) -> np.ndarray:
        """(n,) boolean: the rows that can be used; all, unless rows with gaps are dropped."""
        return np.ones(len(raw), dtype=bool)

    def to_dict(self) -> dict[str, Any]:
        """Parameters and learned state as strict JSON."""
        learned = {name: value for name, value in vars(self).items() if name.endswith("_")}
        document = {"modality": self.modality, "parameters": self._parameters(), **learned}
        return json.loads(json.dumps(document, allow_nan=False))

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The fitted modality that ``to_dict`` described.

        Raises:
            DataError: The document describes another modality.
        """
        if document.get("modality") != cls.modality:
            raise DataError(
                f"the state of a '{document.get('modality')}' modality was given where "
                f"'{cls.modality}' is expected"
            )
        found = cls(**document["parameters"])
        for name, value in json.loads(json.dumps(document)).items():
            if name.endswith("_"):
                setattr(found, name, value)
        return found

    def _parameters(self) -> dict[str, Any]:
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        return {name: getattr(self, name) for name in names}

    def _check_parameters(self) -> None:
        """The check a config gets from its schema, for modalities built by hand."""
        import pydantic

        factory: Any = type(self)
        try:
            signature_model(factory)(**self._parameters())
        except pydantic.ValidationError as error:
            raise ConfigError(
                [Problem(str(each["loc"][0]), each["msg"]) for each in error.errors()],
                place=self.modality,
            ) from error

    def _learned(self, name: str) -> Any:
        if name not in vars(self):
            raise DataError(
                f"the {self.modality} preprocessing has learned nothing yet",
                hint="Call fit with the training rows first.",
            )
        return getattr(self, name)

    def _values(self, raw: Any) -> Any:
        """The plain values of a raw input or of what a user passed instead of one."""
        if not isinstance(raw, RawInput):
            return raw
        if raw.modality != self.modality:
            raise DataError(f"'{raw.modality}' input was given where '{self.modality}' is expected")
        return raw.values

    def _learn(self, observed: np.ndarray, missing: str, constant: float, standardize: Any) -> None:
        """Append one column's ``statistics`` to ``fill_``, ``center_`` and ``scale_``."""
        found = statistics(observed, missing, constant, standardize)
        for name, value in zip(("fill_", "center_", "scale_"), found, strict=True):
            getattr(self, name).append(value)

    def _check_rows(self, count: int) -> None:
        if count == 0:
            raise DataError(
                f"no training rows to fit the {self.modality} preprocessing on",
                hint="With missing: drop, every row may have a gap; try missing: median.",
            )


def _cleaning(feature: Feature) -> tuple[Any, ...]:
    """What a feature says of values to be emptied or bounded; () if nothing."""
    ranged = (feature.low, feature.high) != (None, None) and feature.outside != "keep"
    if not ranged and not feature.missing_values:
        return ()
    bounds = (feature.low, feature.high, feature.outside) if ranged else ()
    return (bounds, tuple(map(str, feature.missing_values)))


def feature_dicts(features: Iterable[Feature]) -> list[dict[str, Any]]:
    """Features as JSON, with plain Python numbers."""

    def plain(number: Any) -> float | None:
        return None if number is None else float(number)

    return [asdict(replace(f, low=plain(f.low), high=plain(f.high))) for f in features]


def check_unique(names: list[str], what: str) -> None:
    """Raise a DataError if a column or channel name occurs twice."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(f"{what} named more than once: {', '.join(repeated)}")


def cleaned_numbers(values: np.ndarray, feature: Feature) -> np.ndarray:
    """Numbers (n,) of a feature, NaN for those that mean 'missing', and within its range."""
    texts = pd.Series([str(each) for each in feature.missing_values], dtype=object)
    stand_ins = pd.to_numeric(texts, errors="coerce").dropna().to_numpy("float32")
    found = np.where(np.isin(values, stand_ins), np.float32(np.nan), values)
    return bounded(found, feature.low, feature.high, feature.outside)[0]


def three_axes(values: np.ndarray, expected: str) -> np.ndarray:
    """Numbers of three axes as float32.

    Raises:
        DataError: Other axes, or no numbers: what is ``expected``, and what was given.
    """
    if values.ndim != 3 or values.dtype.kind not in "fiub":
        raise DataError(f"{expected}; got {values.dtype} of shape {values.shape}")
    if values.dtype == np.float32:
        return values  # also rows on disk, which are no array
    with np.errstate(over="ignore"):
        return values.astype("float32")


def absent_names(wanted: list[str], given: list[str]) -> list[str]:
    """``'a'; did you mean 'A'?`` for each wanted name that was not given."""
    spare = [name for name in given if name not in wanted]
    return [f"'{w}'{did_you_mean(w, spare)}" for w in wanted if w not in given]


def statistics(
    observed: np.ndarray, missing: str, constant: float, standardize: bool | str
) -> tuple[float, float, float]:
    """Fill value, centre and scale of one column's observed values, computed in float64.

    A column with one value only gets scale 1; one with none gets fill 0, centre 0, scale 1
    (fill ``constant`` where that was asked for).
    """
    observed = np.asarray(observed, dtype="float64")
    if missing == "constant":
        fill = constant
    elif not len(observed):
        fill = 0.0
    else:
        # 'drop' and 'forward_fill' still need a value where nothing else is at hand.
        fill = float(np.mean(observed) if missing in ("mean", "forward_fill") else
                     np.median(observed))  # fmt: skip
    if not standardize or not len(observed):
        return float(fill), 0.0, 1.0
    if standardize == "robust":
        lower, median, upper = np.quantile(observed, [0.25, 0.5, 0.75])
        # Of a normal distribution the quartiles lie 1.349 standard deviations apart.
        if upper - lower > 1e-37:
            return float(fill), float(median), float((upper - lower) / 1.349)
    # Compared, not std == 0: the rounded mean of equal values may differ from them.
    varies = observed.max() > observed.min()
    scale = float(np.std(observed)) if varies else 1.0
    # In-graph numbers are float32: a smaller scale would be zero there.
    return float(fill), float(np.mean(observed)), scale if scale > 1e-37 else 1.0
