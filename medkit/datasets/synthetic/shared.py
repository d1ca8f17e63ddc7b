"""What the synthetic datasets share: patients, channels, dates, and scores of a known model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from medkit.core.lazy import pd
from medkit.data.cohort import Cohort, Feature, RawInput, Source

SITES = ("harbour", "north", "university")
AGE_BANDS = ("under 40", "40 to 59", "60 to 74", "75 and over")


class People(NamedTuple):
    """The patients behind the samples: one entry a patient, except ``of_sample``."""

    of_sample: np.ndarray
    age: np.ndarray
    sex: np.ndarray
    site: np.ndarray

    def frame(self, prefix: str, time: np.ndarray, age: np.ndarray | None = None) -> pd.DataFrame:
        """The samples of a cohort, with ``subject``, ``time``, ``site``, ``sex`` and ``age_band``.

        Args:
            prefix: What the samples' ids begin with.
            time: When each sample is taken, (n,).
            age: Of each sample's patient in years, (n,); by default as drawn.
        """
        subject = self.of_sample
        return sample_frame(
            prefix,
            subject,
            time=time,
            site=np.array(SITES, dtype=object)[self.site][subject],
            sex=self.sex[subject],
            age_band=age_band(self.age[subject] if age is None else age),
        )


class Channels:
    """Vital signs and blood values: what is measured, how it varies, and how it is recorded.

    Args:
        rows: Of each channel its name, unit, plausible range, mean, effect of what moves all
            channels, spread between patients, spread within a stay, chance of being measured in
            an hour, digits recorded, and whether all this is of its logarithm.
    """

    def __init__(self, *rows: tuple[Any, ...]):
        self.features = tuple(Feature(row[0], "numeric", *row[1:4]) for row in rows)
        numbers = [np.array(column) for column in zip(*(row[2:] for row in rows), strict=True)]
        self.low, self.high, self.mean, self.effect, self.between, self.within = numbers[:6]
        self.rate, self.digits, self.logarithmic = numbers[6:]
        # Recording 87.4 bpm as 87 adds the variance of a rounding error.
        rounding = np.where(self.logarithmic, 0.0, 10.0 ** (-2 * self.digits) / 12)
        self.noise = self.within**2 + rounding

    def __len__(self) -> int:
        return len(self.features)

    def recorded(self, exact: np.ndarray) -> np.ndarray:
        """Values (..., channels) as they are written down: rounded, and within their range."""
        natural = np.where(self.logarithmic, np.exp(np.where(self.logarithmic, exact, 0.0)), exact)
        rounded = [np.round(natural[..., k], digits) for k, digits in enumerate(self.digits)]
        return np.clip(np.stack(rounded, axis=-1), self.low, self.high)

    def off_mean(self, values: np.ndarray) -> np.ndarray:
        """What recorded values (..., channels) are off the mean; 0 where nothing was measured."""
        with np.errstate(divide="ignore"):
            logs = np.log(np.where(self.logarithmic, values, 1.0))
        return np.nan_to_num(np.where(self.logarithmic, logs, values) - self.mean)


def subject_of_each(random: np.random.Generator, samples: int, again: float) -> np.ndarray:
    """Number of the subject of each sample: 0, 0, 1, 2 …; ``again``: chance of a further sample."""
    starts = random.random(samples) >= again
    starts[0] = True
    return np.cumsum(starts) - 1


def draw_people(random: np.random.Generator, samples: int, again: float) -> People:
    """Adults of 18 to 95 years, half of them women, in three hospitals of unequal size."""
    of_sample = subject_of_each(random, samples, again)
    count = int(of_sample[-1]) + 1
    age = 18 + 77 * random.beta(2.6, 2.0, count)
    sex = np.array(["female", "male"], dtype=object)[random.integers(0, 2, count)]
    site = random.choice(len(SITES), size=count, p=[0.25, 0.3, 0.45])
    return People(of_sample, age, sex, site)


def admission_times(random: np.random.Generator, subject: np.ndarray) -> np.ndarray:
    """Times of admission, datetime64[s]: from 2019 on, a subject's samples in their order."""
    first = random.uniform(0, 4 * 365 * 24, int(subject[-1]) + 1)
    gaps = random.exponential(120 * 24, len(subject)) + 24
    is_first = np.r_[True, subject[1:] != subject[:-1]]
    total = np.cumsum(np.where(is_first, 0.0, gaps))
    hours = first[subject] + total - total[is_first][subject]
    return np.datetime64("2019-01-01T00:00:00") + np.round(hours * 60).astype("timedelta64[m]")


def age_band(age: np.ndarray) -> np.ndarray:
    """The age group of each age in years, as text."""
    return np.array(AGE_BANDS, dtype=object)[np.digitize(age, (40, 60, 75))]


def sample_frame(prefix: str, subject: np.ndarray, who: str = "P", **columns: Any) -> pd.DataFrame:
    """The samples of a cohort: ids such as ``V00001``, ``subject``, then the given columns."""
    ids = [f"{prefix}{number:05d}" for number in range(1, len(subject) + 1)]
    subjects = np.array([f"{who}{number + 1:05d}" for number in subject], dtype=object)
    index = pd.Index(ids, name="id", dtype=object)
    return pd.DataFrame({"subject": subjects, **columns}, index=index)


def drawn_cohort(
    frame: pd.DataFrame,
    inputs: Mapping[str, RawInput],
    targets: np.ndarray,
    names: tuple[str, ...],
    label: str,
    seed: int,
    how: str = "drawn with seed {}",
) -> Cohort:
    """A cohort whose source says that it is synthetic, and ``how`` it was drawn."""
    notes = (how.format(seed),)
    source = Source(rows_read=len(frame), label=f"{label} (synthetic)", notes=notes)
    return Cohort(frame, inputs, targets, source, names)


def sigmoid(value: np.ndarray) -> np.ndarray:
    """The logistic function."""
    return 1.0 / (1.0 + np.exp(-value))


def binary_scores(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """AUROC, AUPRC, Brier score and log loss of true probabilities."""
    from sklearn import metrics

    return {
        "auroc": float(metrics.roc_auc_score(y, p)),
        "auprc": float(metrics.average_precision_score(y, p)),
        "brier": float(metrics.brier_score_loss(y, p)),
        "log_loss": float(metrics.log_loss(y, p)),
    }


def class_scores(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """Accuracy and macro AUROC (one against the rest) of (n, classes) true probabilities."""
    from sklearn import metrics

    aurocs = [metrics.roc_auc_score(y == k, p[:, k]) for k in range(p.shape[1])]
    return {
        "accuracy": float(np.mean(p.argmax(axis=1) == y)),
        "auroc_macro": float(np.mean(aurocs)),
    }
