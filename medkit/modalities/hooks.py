"""What the rest of the house asks of an input, so that nobody else asks which kind it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from medkit.core.lazy import ops
from medkit.modalities.drawing import Drawing
from medkit.modalities.groups import FeatureGroup
from medkit.modalities.likeness import Cells, Runs, Texts, array_keys
from medkit.modalities.preparation import Preparation

if TYPE_CHECKING:
    import pandas

    from medkit.data.cohort import Feature
    from medkit.data.stored_columns import StoredColumns


class ExplanationHooks:
    """What explanations permute, hide, start from and show; defaults for an input of features.

    Throughout, ``x`` is (n, …) as ``encode`` gives it.
    """

    #: What a single value's attribution belongs to (integrated gradients), what a step's does
    #: (attention, Grad-CAM), and what a hidden or lent group's does: ``feature``, ``step``,
    #: ``step feature``, ``position``, ``event`` or ``pixel``.
    value_axes: ClassVar[str] = "feature"
    step_axes: ClassVar[str] = "feature"
    group_axes: ClassVar[str] = "feature"
    #: Why the output is not drawn against single values; empty where it is.
    no_curves: ClassVar[str] = "Not for this kind of input."
    #: Numbers that networks on such inputs take in a few seconds: bounds the cost of permutation.
    numbers_at_once: ClassVar[int] = 60_000_000
    #: Most samples of a file that are explained one by one.
    most_explained: ClassVar[int] = 200
    #: Whether a sample is a picture, to be written as .png.
    pictured: ClassVar[bool] = False

    if TYPE_CHECKING:

        @property
        def features(self) -> tuple[Feature, ...]: ...
        @property
        def input_shape_(self) -> tuple[int, ...]: ...

    def groups(self, fine: bool = False) -> list[FeatureGroup]:
        """The features of a sample: what is permuted or hidden as a whole.

        Args:
            fine: Of an input without named features, smaller parts, for single samples.
        """
        return [FeatureGroup(f.name, f.unit, (i,)) for i, f in enumerate(self.features)]

    def ranked_groups(self, x: np.ndarray) -> list[FeatureGroup]:
        """The features whose importance over all samples is reported."""
        return self.groups()

    def hidden_parts(self) -> tuple[list[FeatureGroup], bool]:
        """What occlusion hides one after the other, and whether these overlap: then a value gets
        the mean over those that cover it."""
        return self.groups(fine=True), False

    def hide(self, x: np.ndarray, group: FeatureGroup) -> None:
        """Take one feature away, in place: a number, category or channel is missing."""
        group.of(x)[...] = np.nan

    def reference(self, layer: Any, inner: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The neutral sample that attributions start from, in the preprocessing layer's terms.

        Args:
            layer: What ``preprocessing`` gave, as the saved network holds it.
            inner: (n, …) what it makes of the samples.
            x: (n, …) the samples.

        Returns:
            (n, …) as ``inner``: what it makes of a sample of which nothing is known.
        """
        return np.broadcast_to(prepared(layer, np.full_like(x[:1], np.nan)), inner.shape)

    def attributed(self, layer: Any, inner: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Attributions of the preprocessing layer's outputs (n, …), summed to what they were made
        from: (n, …) along ``value_axes``."""
        return np.asarray(inner.sum(axis=-1))

    def occupied(self, x: np.ndarray) -> np.ndarray | None:
        """(n, steps) boolean: the steps that are no padding; None where there is none."""
        return None

    def shown(self, x: np.ndarray, group: FeatureGroup) -> Any:
        """What the first sample holds of a feature, as a reader knows it; None for nothing."""
        values = np.asarray(group.of(x)[0], dtype=float)
        known = values[~np.isnan(values)]
        return float(known.mean()) if known.size else None

    def itemized(self, x: np.ndarray, attribution: np.ndarray) -> pandas.DataFrame | None:
        """The first sample value by value, where that is more than feature by feature.

        Args:
            x: Samples.
            attribution: (n, …) along ``value_axes``.

        Returns:
            ``feature``, ``value``, ``unit``, ``attribution`` and where in time, or None.
        """
        return None

    def draw(
        self, x: np.ndarray, row: int, attribution: np.ndarray | None = None
    ) -> Drawing | None:
        """A sample as a person would look at it; None where a table says all.

        Args:
            x: Samples.
            row: Which of them.
            attribution: (n, …) along ``value_axes``; None for the sample alone.
        """
        return None

    def levels(self, position: int, values: np.ndarray) -> tuple[np.ndarray, list[str]] | None:
        """Codes and names of a categorical feature's common values; None for a number.

        Asked only where ``no_curves`` is empty.

        Args:
            position: Which feature.
            values: (n,) its encoded values.
        """
        return None


class Summarized:
    """What Table 1, the baselines and a report say of an input."""

    #: What it is, in the plural, as a reader calls it.
    noun: ClassVar[str] = "inputs"

    if TYPE_CHECKING:

        @property
        def features(self) -> tuple[Feature, ...]: ...
        def _parameters(self) -> dict[str, Any]: ...

    def gaps(self) -> tuple[str, bool]:
        """What became of missing values, in words, and whether the training rows fill them."""
        return f"{self.noun} are whole or absent: nothing had to be filled", False

    def preparation(self) -> Preparation:
        """How the input was prepared, for reports."""
        return Preparation(self.noun, *self.gaps(), self._parameters())

    def unit_of(self, summary: str) -> str | None:
        """Unit of a column of the summaries: ``pulse mean`` has the pulse's, a count has none."""
        named = {feature.name: feature.unit for feature in self.features}
        for name in sorted(named, key=len, reverse=True):
            is_count = summary.endswith(" count") and summary != name
            if summary == name or (summary.startswith(f"{name} ") and not is_count):
                return named[name]
        return None


class LeakageHooks:
    """What the leakage gate keys rows by, compares and judges; defaults for arrays."""

    if TYPE_CHECKING:

        def summarize(self, x: np.ndarray) -> pandas.DataFrame: ...
        def _values(self, raw: Any) -> Any: ...

    def row_keys(self, raw: Any) -> tuple[np.ndarray, np.ndarray]:
        """(n,) uint64 hash of each raw sample, and (n,) boolean: it has so much content that
        another's being identical means something."""
        return array_keys(self._values(raw))

    def table(self, raw: Any) -> pandas.DataFrame | StoredColumns | None:
        """The raw columns, where the input is a table: dates and identifiers stand there as they
        were read. Those on disk stay there."""
        return None

    def texts(self, raw: Any) -> Texts | None:
        """The raw texts, where it is one."""
        return None

    def gate_columns(self, x: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Names and numbers (n, columns) that are judged one by one: does it alone predict the
        outcome? By default the summaries."""
        summary = self.summarize(x)
        return [str(name) for name in summary.columns], summary.to_numpy("float64")

    def constants(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Feature -> (n,) its value, of those that change within no sample: they may name it."""
        return {}

    def near_cells(self, x: np.ndarray) -> Cells | None:
        """Numbers by whose distance near-identical samples are found; None: not compared so."""
        return None

    def runs(self, x: np.ndarray) -> Runs | None:
        """Stretches by which samples cut from one whole are found; None: not compared so."""
        return None

    def reduced(self, x: np.ndarray) -> np.ndarray | None:
        """(n, at most 32, at most 32) pictures compared by look; None: not compared so."""
        return None


def prepared(layer: Any, x: np.ndarray) -> np.ndarray:
    """(n, …) float32: what a preprocessing layer makes of encoded samples."""
    return np.asarray(ops.convert_to_numpy(layer(ops.convert_to_tensor(x))))
