"""Waveforms: dense signals of one or several leads, as an electrocardiogram."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field

from medkit.core.errors import DataError
from medkit.core.lazy import pd
from medkit.core.registry import modalities
from medkit.data.cohort import Feature, RawInput
from medkit.data.stored_arrays import blocks, by_channel
from medkit.modalities.drawing import Drawing, shares
from medkit.modalities.groups import FeatureGroup, spans
from medkit.modalities.modality import (
    Gives,
    absent_names,
    check_unique,
    feature_dicts,
    log,
    three_axes,
)
from medkit.modalities.series.hooks import SeriesCompared

if TYPE_CHECKING:
    import keras
    import pandas

PARTS = 8  # of a window, over all samples
#: Frequencies whose power is summarized, Hz: drift and respiration, slow waves, the QRS complex,
#: and what is faster.
BANDS = ((0.5, 5.0), (5.0, 15.0), (15.0, 40.0))
#: Seconds a window must last for a heart rate.
RATE_SECONDS = 4.0


@modalities.register(name="waveform")
class Waveform(SeriesCompared):
    """Dense signals: each lead standardized by its training mean; gaps are not carried forward.

    Encoded: float32 (n, samples, leads) in physical units, NaN where a lead was off. In the model:
    the leads, standardized; a gap takes the training mean.

    Args:
        sampling_rate: Samples a second of a plain array (Hz); a data set says it itself.
        standardize: Subtract each lead's training mean and divide by its standard deviation.
        clip: Bound on the standardized values, in standard deviations, so that an artefact in one
            sample moves the outcome no further; null for none.
    """

    modality: ClassVar[str] = "waveform"
    gives: ClassVar[Gives] = "steps"
    noun: ClassVar[str] = "waveforms"
    regular: ClassVar[bool] = True
    deterministic: ClassVar[bool] = True
    value_axes: ClassVar[str] = "step feature"
    step_axes: ClassVar[str] = "step"
    no_curves: ClassVar[str] = "A signal has a course, not one value to vary."
    numbers_at_once: ClassVar[int] = 80_000_000
    samples_: int
    step_seconds_: float | None
    fill_: list[float]
    center_: list[float]
    scale_: list[float]

    def __init__(
        self,
        *,
        sampling_rate: Annotated[float, Field(gt=0)] | None = None,
        standardize: bool = True,
        clip: Annotated[float, Field(gt=0)] | None = 10.0,
    ):
        self.sampling_rate, self.standardize, self.clip = sampling_rate, standardize, clip

    def fit(self, raw: RawInput | np.ndarray) -> Self:
        """Learn each lead's mean and standard deviation from training rows.

        Raises:
            DataError: No rows, not (n, samples, leads), a lead named twice or never recorded, or
                infinite values.
        """
        self._check_parameters()
        values = self._array(raw)
        self._check_rows(len(values))
        given = raw.features if isinstance(raw, RawInput) else ()
        features = given or tuple(Feature(f"lead_{i + 1}") for i in range(values.shape[2]))
        check_unique([feature.name for feature in features], "leads")
        self.features_ = feature_dicts(features)
        self.samples_, self.step_seconds_ = int(values.shape[1]), self._step_seconds(raw)
        self.fill_, self.center_, self.scale_ = [], [], []
        for position, lead in by_channel(values):
            observed = lead[~np.isnan(lead)]
            if not observed.size:
                raise DataError(f"lead '{features[position].name}' was never recorded in training")
            self._learn(observed, "mean", 0.0, self.standardize)
        return self

    def encode(self, raw: RawInput | np.ndarray) -> np.ndarray:
        """Rows as float32 (n, samples, leads), the leads aligned by name to the fitted ones.

        Raises:
            DataError: Another number of samples or sampling rate, a lead that is absent, or
                infinite values.
        """
        values, names = self._array(raw), self.names
        if values.shape[1] != self._learned("samples_"):
            raise DataError(
                f"signals of {values.shape[1]} samples were given where the model was trained on "
                f"{self.samples_}",
                hint="Cut windows as long as in training.",
            )
        rate = self._step_seconds(raw)
        if rate and self.step_seconds_ and not np.isclose(rate, self.step_seconds_, rtol=1e-6):
            raise DataError(
                f"signals of {1 / rate:g} Hz were given where the model was trained on "
                f"{1 / self.step_seconds_:g} Hz",
                hint="Resample them (wfdb.processing.resample_sig).",
            )
        given = [f.name for f in raw.features] if isinstance(raw, RawInput) else []
        absent = absent_names(names, given) if given else []
        if absent or (not given and values.shape[2] != len(names)):
            what = ", ".join(absent) or f"{values.shape[2]} leads given"
            raise DataError(f"leads missing: {what}", hint=f"Trained on: {', '.join(names)}.")
        extra = [name for name in given if name not in names]
        if extra:
            log.info("ignored leads the model was not trained on: %s", ", ".join(extra))
        return values if given in ([], names) else values[:, :, [given.index(n) for n in names]]

    def _array(self, raw: Any) -> np.ndarray:
        expected = "waveforms must be numbers of shape (n, samples, leads)"
        values = three_axes(np.asanyarray(self._values(raw)), expected)
        for start, block in blocks(values):
            infinite = np.isinf(block).reshape(len(block), -1).any(axis=1)
            if infinite.any():
                raise DataError(f"infinite values in waveform {start + infinite.argmax() + 1}")
        return values

    def _step_seconds(self, raw: Any) -> float | None:
        known = raw.step_seconds if isinstance(raw, RawInput) else None
        return known or (1 / self.sampling_rate if self.sampling_rate else None)

    @property
    def input_shape_(self) -> tuple[int, ...]:
        return (self._learned("samples_"), len(self.features))

    def preprocessing(self) -> keras.Layer:
        """The layer that takes encoded rows to (n, samples, leads) float32."""
        from medkit.layers.series import SeriesPreprocessing

        layer = SeriesPreprocessing(False, [], self.clip if self.standardize else None)
        layer.build((None, *self.input_shape_))
        layer.set_statistics(self.fill_, self.center_, self.scale_)
        return layer

    # -- Named numbers

    def summarize(self, x: np.ndarray) -> pandas.DataFrame:
        """Per lead: mean, standard deviation, extremes; with a known sampling rate the share of
        each frequency band in the power (Welch, IEEE Transactions on Audio and Electroacoustics
        15, 1967), and of windows of 4 s and more the heart rate (beats/min) and the variability of
        the R–R intervals (SDNN and RMSSD, ms; Task Force of ESC and NASPE, Circulation 93, 1996).
        """
        columns: dict[str, list[np.ndarray]] = {}
        for _, block in blocks(x):
            for position, name in enumerate(self.names):
                for summary, values in self._of_lead(block[:, :, position]).items():
                    columns.setdefault(f"{name} {summary}", []).append(values.astype("float32"))
        return pd.DataFrame({name: np.concatenate(parts) for name, parts in columns.items()})

    def gaps(self) -> tuple[str, bool]:
        return "where a lead was off, its training mean stands", True

    def unit_of(self, summary: str) -> str | None:
        units = {"heart rate": "beats/min", "SDNN": "ms", "RMSSD": "ms"}
        found = [unit for end, unit in units.items() if summary.endswith(f" {end}")]
        if found or summary.endswith(" power"):
            return found[0] if found else None
        return super().unit_of(summary)

    def _of_lead(self, lead: np.ndarray) -> dict[str, np.ndarray]:
        """Summaries (n,) of one lead (n, samples)."""
        from scipy.signal import welch

        known = np.where(np.isnan(lead).all(axis=1, keepdims=True), 0.0, lead)
        mean = np.nanmean(known, axis=1)
        filled = np.where(np.isnan(known), mean[:, None], known)
        found = {"mean": mean, "standard deviation": filled.std(axis=1),
                 "min": filled.min(axis=1), "max": filled.max(axis=1)}  # fmt: skip
        if self.step_seconds_:
            rate = 1 / self.step_seconds_
            length = min(lead.shape[1], round(2 * rate))
            hertz, power = welch(filled, fs=rate, nperseg=length, axis=1)
            total = np.maximum(power[:, hertz >= BANDS[0][0]].sum(axis=1), 1e-30)
            for low, high in (band for band in BANDS if band[1] <= rate / 2):
                inside = power[:, (hertz >= low) & (hertz < high)].sum(axis=1)
                found[f"{low:g}–{high:g} Hz power"] = inside / total
            if lead.shape[1] >= RATE_SECONDS * rate:
                beats = np.array([_heart(row, rate) for row in filled])
                found |= dict(zip(("heart rate", "SDNN", "RMSSD"), beats.T, strict=True))
        gone = np.isnan(lead).all(axis=1)
        return {name: np.where(gone, np.nan, values) for name, values in found.items()}

    # -- Explanations

    def groups(self, fine: bool = False) -> list[FeatureGroup]:
        """Stretches of each lead; times in seconds from the window's start."""
        step = self.step_seconds_ or 1.0
        unit = "s" if self.step_seconds_ else ""

        def named(lead: str, part: slice) -> str:
            return f"{lead}, {part.start * step:.3g}–{part.stop * step:.3g} {unit}".strip()

        return [
            FeatureGroup(named(feature.name, part), feature.unit, (part, i))
            for i, feature in enumerate(self.features)
            for part in spans(self.samples_, 2 * PARTS if fine else PARTS)
        ]

    def reference(self, layer: Any, inner: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Each lead's training mean throughout."""
        center = 0.0 if self.standardize else np.asarray(self.fill_, "float32")
        return np.broadcast_to(np.asarray(center, "float32"), inner.shape)

    def attributed(self, layer: Any, inner: np.ndarray, x: np.ndarray) -> np.ndarray:
        return inner  # one standardized value a value

    def draw(
        self, x: np.ndarray, row: int, attribution: np.ndarray | None = None
    ) -> Drawing | None:
        """The leads as curves, orange where they raise the output and blue where they lower it."""
        from matplotlib.colors import LinearSegmentedColormap
        from matplotlib.figure import Figure

        values = x[row]
        share = shares(None if attribution is None else attribution[row], values.shape)
        step, unit = (self.step_seconds_, "s") if self.step_seconds_ else (1, "samples")
        time = np.arange(len(values)) * step
        colours = LinearSegmentedColormap.from_list("share", ["#1f5fa8", "#dddddd", "#e25d14"])
        figure = Figure(figsize=(7, 1.8 * values.shape[1]), layout="constrained")
        panels = figure.subplots(values.shape[1], sharex=True, squeeze=False)[:, 0]
        for position, (axes, feature) in enumerate(zip(panels, self.features, strict=True)):
            axes.plot(time, values[:, position], color="0.6", linewidth=1)
            axes.scatter(time, values[:, position], c=share[:, position], cmap=colours,
                         vmin=-1, vmax=1, s=30 * np.abs(share[:, position]))  # fmt: skip
            axes.set_ylabel(feature.name + (f" ({feature.unit})" if feature.unit else ""))
        panels[-1].set_xlabel(unit)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=120)
        return Drawing(picture=buffer.getvalue())


def _heart(signal: np.ndarray, rate: float) -> tuple[float, float, float]:
    """Heart rate (beats/min), SDNN and RMSSD (ms) of one lead; NaN where too few beats are found.

    R peaks after Pan and Tompkins, IEEE Transactions on Biomedical Engineering 32, 1985: band-pass
    (5–15 Hz), squared slope, mean over 0.15 s, peaks 0.25 s apart or more and above half of what a
    high peak is; 30 to 250 beats/min.
    """
    from scipy.ndimage import uniform_filter1d
    from scipy.signal import butter, find_peaks, sosfiltfilt

    passed = sosfiltfilt(butter(2, (5, min(15, 0.45 * rate)), "bandpass", fs=rate, output="sos"),
                         signal)  # fmt: skip
    energy = uniform_filter1d(np.gradient(passed) ** 2, max(1, round(0.15 * rate)))
    height = 0.3 * float(np.quantile(energy, 0.98))
    if height <= 0:
        return np.nan, np.nan, np.nan
    peaks, _ = find_peaks(energy, height=height, distance=max(1, round(0.25 * rate)))
    between = np.diff(peaks) / rate
    between = between[(between > 60 / 250) & (between < 60 / 30)]
    if len(between) < 2:
        return np.nan, np.nan, np.nan
    successive = np.sqrt(np.mean(np.diff(between) ** 2))
    return 60 / between.mean(), 1000 * between.std(ddof=1), 1000 * float(successive)
