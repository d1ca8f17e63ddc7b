"""Metrics of each part with intervals, by subgroup, and beside the baselines."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.errors import DataError, did_you_mean
from medkit.evaluation.baselines import Fitted, fit_baselines
from medkit.evaluation.intervals import interval, plain, resampled_scores

if TYPE_CHECKING:
    import pandas as pd

    from medkit.config import Evaluation

log = logging.getLogger("medkit")

# The metric a summary leads with: the first of these that the task reports.
_HEADLINES = ("auroc", "macro_auroc", "auroc_macro", "accuracy", "mae")
_LOWER_IS_BETTER = ("mae", "rmse", "mse", "brier", "log_loss", "loss", "median_absolute_error")
_MANY_VALUES = 10  # a numeric attribute with more distinct values is cut into quarters
_MANY_GROUPS = 20


@dataclass(frozen=True)
class Part:
    """What evaluation needs of one part of the split.

    Args:
        y: (n, …) encoded targets.
        p: (n, outputs) the network's outputs; None for a part that only trains the baselines.
        subjects: (n,) subject of each row.
        samples: (n rows) attributes, for subgroups.
        features: (n rows) flat summary features, for the baselines; None for no baselines.
    """

    y: np.ndarray
    p: np.ndarray | None
    subjects: np.ndarray
    samples: pd.DataFrame | None = None
    features: pd.DataFrame | None = None


def headline(task: Any) -> str:
    """The metric that a summary of this task leads with."""
    names = tuple(task.metric_names)
    return next((name for name in _HEADLINES if name in names), names[0])


def lower_is_better(metric: str) -> bool:
    """Whether smaller values of a metric are better."""
    return any(metric == name or metric.endswith(f"_{name}") for name in _LOWER_IS_BETTER)


def evaluate(
    task: Any, parts: Mapping[str, Part], threshold: Any, settings: Evaluation, seed: int
) -> dict[str, Any]:
    """Everything that goes into ``metrics.json``.

    Args:
        task: The fitted task.
        parts: ``test``, and where there are any ``valid`` and ``train``.
        threshold: The operating point, chosen on validation.
        settings: Resamples, confidence, subgroups, baselines.
        seed: Seed of the bootstrap and the baselines.

    Returns:
        ``{part: {n, subjects, positives, metrics, threshold}, "subgroups": …, "baselines": …}``;
        of the training part the values alone, since an interval there says nothing.

    Raises:
        DataError: A subgroup that is no attribute of the samples.
    """
    test = parts["test"]
    if test.samples is not None:
        check_subgroups(test.samples, settings)
    result: dict[str, Any] = {}
    replicates: dict[str, np.ndarray] = {}
    for name in ("test", "valid", "train"):
        part = parts.get(name)
        if part is None or part.p is None:
            continue
        resamples = settings.bootstrap if name != "train" else 0
        result[name], found = _measured(
            task, part.y, part.p, part.subjects, threshold, settings, seed, resamples
        )
        if name == "test":
            replicates = found
    if test.p is not None and test.samples is not None and settings.subgroups:
        result["subgroups"] = subgroups(
            task, test.y, test.p, test.samples, test.subjects, threshold, settings, seed
        )
    if settings.baselines and "train" in parts and parts["train"].features is not None:
        reference = (result["test"], replicates) if "test" in result else None
        result["baselines"] = _compared(task, parts, reference, settings, seed)
    return result


def evaluate_part(
    task: Any,
    y: np.ndarray,
    p: np.ndarray,
    subjects: np.ndarray,
    threshold: Any,
    settings: Evaluation,
    seed: int,
) -> dict[str, Any]:
    """Metrics of one part with intervals bootstrapped by subject.

    Args:
        task: The fitted task.
        y: (n, …) encoded targets.
        p: (n, outputs) the model's outputs.
        subjects: (n,) subject of each row.
        threshold: The operating point, chosen on validation.
        settings: Resamples and confidence.
        seed: Seed of the bootstrap.

    Returns:
        ``n``, ``subjects``, ``positives``, ``threshold`` and ``metrics`` (name -> value, low,
        high), as JSON has them: null where a value is undefined.
    """
    return _measured(task, y, p, subjects, threshold, settings, seed, settings.bootstrap)[0]


def _measured(
    task: Any,
    y: np.ndarray,
    p: np.ndarray,
    subjects: np.ndarray,
    threshold: Any,
    settings: Evaluation,
    seed: int,
    resamples: int,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    values = task.score(y, p, threshold)
    replicates = resampled_scores(task, y, p, threshold, subjects, resamples, seed)
    metrics = {
        name: {"value": value, **interval(replicates.get(name), settings.confidence)}
        for name, value in values.items()
    }
    described = {
        "n": len(y),
        "subjects": len(np.unique(_codes(subjects))),
        "positives": task.positives(y),
        "metrics": metrics,
        "threshold": threshold,
    }
    return plain(described), replicates


def _codes(subjects: np.ndarray) -> np.ndarray:
    from medkit.evaluation.intervals import subject_codes

    return subject_codes(subjects)


def _compared(
    task: Any,
    parts: Mapping[str, Part],
    reference: tuple[dict[str, Any], dict[str, np.ndarray]] | None,
    settings: Evaluation,
    seed: int,
) -> dict[str, Any]:
    """Each baseline on the test part, and by how much the network differs from it."""
    test, valid = parts["test"], parts.get("valid")
    fitted: list[Fitted] = fit_baselines(
        task,
        (parts["train"].features, parts["train"].y),
        (valid.features, valid.y) if valid is not None else None,
        seed,
    )
    results: dict[str, Any] = {}
    for baseline in fitted:
        p = baseline.predict(test.features)
        described, replicates = _measured(
            task, test.y, p, test.subjects, baseline.threshold, settings, seed, settings.bootstrap
        )
        described.update(baseline.facts)
        if reference is not None:
            network, of_network = reference
            name = headline(task)
            values = [each["metrics"][name]["value"] for each in (network, described)]
            difference: dict[str, Any] = {"metric": name, "value": None}
            if None not in values:
                difference["value"] = values[0] - values[1]
            # The same resamples for both: the interval is that of the paired difference.
            pairs = of_network[name] - replicates[name] if name in replicates else None
            difference.update(interval(pairs, settings.confidence))
            described["difference"] = plain(difference)
        results[baseline.name] = described
    return results


def check_subgroups(samples: pd.DataFrame, settings: Evaluation) -> None:
    """Refuse subgroups that are no attribute; cheap, so call it before training.

    Raises:
        DataError: The column is not there, or is the patient.
    """
    known = [str(column) for column in samples.columns if column != "subject"]
    for attribute in settings.subgroups:
        if attribute == "subject":
            raise DataError("'subject' cannot be a subgroup", place="evaluation.subgroups")
        if attribute not in known:
            near = did_you_mean(attribute, known)
            listed = f"; attributes: {', '.join(known)}" if known else "; the samples have none"
            raise DataError(
                f"no attribute '{attribute}'{near or listed}",
                place="evaluation.subgroups",
                hint="Name it in the dataset section, so that it is kept as an attribute.",
            )


def subgroups(
    task: Any,
    y: np.ndarray,
    p: np.ndarray,
    samples: pd.DataFrame,
    subjects: np.ndarray,
    threshold: Any,
    settings: Evaluation,
    seed: int,
) -> dict[str, Any]:
    """Metrics of each group of each attribute.

    A numeric attribute with many values is cut at its quartiles; a text attribute with more than
    20 values keeps its large groups, the others become one. Groups of fewer than
    ``settings.minimum_group`` subjects are suppressed: no numbers, for privacy and for sense.

    Args:
        task: The fitted task.
        y: (n, …) encoded targets.
        p: (n, outputs) the model's outputs.
        samples: (n rows) attributes.
        subjects: (n,) subject of each row.
        threshold: The operating point, chosen on validation.
        settings: Names of the attributes, smallest group, resamples.
        seed: Seed of the bootstrap.

    Returns:
        ``{attribute: {value: {n, subjects, positives, metrics, threshold}}}``, or
        ``{"suppressed": reason}`` in place of a small group's numbers.
    """
    check_subgroups(samples, settings)
    codes = _codes(subjects)
    found: dict[str, Any] = {}
    for attribute in settings.subgroups:
        groups: dict[str, Any] = {}
        for value, rows in _groups(samples[attribute], codes, settings.minimum_group):
            if len(np.unique(codes[rows])) < settings.minimum_group:
                groups[value] = {"suppressed": f"fewer than {settings.minimum_group} subjects"}
                continue
            groups[value] = evaluate_part(
                task, y[rows], p[rows], codes[rows], threshold, settings, seed
            )
        found[attribute] = groups
    return found


def _groups(column: pd.Series, codes: np.ndarray, minimum: int) -> list[tuple[str, np.ndarray]]:
    from medkit.lazy import pd

    missing = column.isna().to_numpy()
    is_bool = pd.api.types.is_bool_dtype(column)
    if pd.api.types.is_datetime64_any_dtype(column):
        column = column.dt.year
    numeric = pd.api.types.is_numeric_dtype(column) and not is_bool
    if numeric and column[~missing].nunique() > _MANY_VALUES:
        groups = _quarters(np.where(missing, np.nan, column.astype(float).to_numpy()))
    else:
        values, names = pd.factorize(column, sort=not column.dtype == object)
        groups = [(_named(name), np.flatnonzero(values == i)) for i, name in enumerate(names)]
        if len(groups) > _MANY_GROUPS:
            large = [len(np.unique(codes[rows])) >= minimum for _, rows in groups]
            small = [rows for (_, rows), keep in zip(groups, large, strict=True) if not keep]
            groups = [group for group, keep in zip(groups, large, strict=True) if keep]
            if small:
                # Their names stay out: values this rare may identify a patient.
                groups.append((f"other ({len(small)} values)", np.sort(np.concatenate(small))))
    if missing.any():
        groups.append(("missing", np.flatnonzero(missing)))
    return groups


def _quarters(values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Bands of about equal size, named by their bounds (upper bound included)."""
    known = values[np.isfinite(values)]
    cuts = np.unique(np.quantile(known, [0.25, 0.5, 0.75], method="inverted_cdf"))
    cuts = cuts[cuts < known.max()]
    band = np.searchsorted(cuts, values, side="left")
    named = [_named(cut) for cut in cuts]
    names = [f"up to {named[0]}" if named else "all"]
    names += [f"over {low} to {high}" for low, high in zip(named, named[1:], strict=False)]
    names += [f"over {named[-1]}"] if named else []
    finite = np.isfinite(values)
    return [(name, np.flatnonzero((band == i) & finite)) for i, name in enumerate(names)]


def _named(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    return str(value)
