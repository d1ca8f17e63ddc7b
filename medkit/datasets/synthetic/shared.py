"""What the synthetic datasets share: patients, hospitals, dates, and scores of a known model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from medkit.core.lazy import pd

SITES = ("harbour", "north", "university")
AGE_BANDS = ("under 40", "40 to 59", "60 to 74", "75 and over")


class People(NamedTuple):
    """The patients behind the samples: one entry a patient, except ``of_sample``."""

    of_sample: np.ndarray
    age: np.ndarray
    sex: np.ndarray
    site: np.ndarray


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
