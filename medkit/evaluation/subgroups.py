"""Metrics by group of an attribute: sex, age band, hospital."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.errors import DataError, did_you_mean
from medkit.evaluation.intervals import measure, subject_codes
from medkit.evaluation.notes import with_notes
from medkit.lazy import pd

if TYPE_CHECKING:
    from medkit.config import Evaluation

log = logging.getLogger("medkit")

_MANY_VALUES = 10  # a numeric attribute with more distinct values is cut into quarters


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


def subgroup_metrics(
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

    A numeric attribute with many values is cut at its quartiles. Groups of fewer than
    ``settings.minimum_group`` subjects become one, ``other (k values)``, and are named nowhere:
    values this rare may identify a patient. If even together they are too few (or those with the
    attribute missing are), the group is suppressed: no numbers, for privacy and for sense.

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
        ``{attribute: {value: {n, subjects, positives, metrics, threshold}}}`` with ``notes``
        where one class only leaves metrics undefined, or ``{"suppressed": reason}`` in place of a
        small group's numbers.
    """
    codes = subject_codes(subjects)
    found: dict[str, Any] = {}
    for attribute in settings.subgroups:
        if attribute == "subject" or attribute not in samples:
            log.warning("no subgroups by '%s': these samples have no such attribute", attribute)
            continue
        groups: dict[str, Any] = {}
        for value, rows in _groups(samples[attribute], codes, settings.minimum_group):
            if len(np.unique(codes[rows])) < settings.minimum_group:
                groups[value] = {"suppressed": f"fewer than {settings.minimum_group} subjects"}
                continue
            in_group = (y[rows], p[rows], codes[rows])
            described, _ = measure(task, *in_group, threshold, settings, seed)
            groups[value] = with_notes(described, task.kind)
        found[attribute] = groups
    return found


def _groups(column: pd.Series, codes: np.ndarray, minimum: int) -> list[tuple[str, np.ndarray]]:
    missing = column.isna().to_numpy()
    is_bool = pd.api.types.is_bool_dtype(column)
    if pd.api.types.is_datetime64_any_dtype(column):
        column = column.dt.year
    numeric = pd.api.types.is_numeric_dtype(column) and not is_bool
    if numeric and column[~missing].nunique() > _MANY_VALUES:
        groups = _quarters(np.where(missing, np.nan, column.astype(float).to_numpy()))
    else:
        values, names = pd.factorize(column, sort=column.dtype != object)
        groups = [(_named(name), np.flatnonzero(values == i)) for i, name in enumerate(names)]
    large = [len(np.unique(codes[rows])) >= minimum for _, rows in groups]
    small = [rows for (_, rows), keep in zip(groups, large, strict=True) if not keep]
    groups = [group for group, keep in zip(groups, large, strict=True) if keep]
    if small:
        values_of = "value" if len(small) == 1 else "values"
        groups.append((f"other ({len(small)} {values_of})", np.sort(np.concatenate(small))))
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
    names += [f"over {low} to {high}" for low, high in itertools.pairwise(named)]
    names += [f"over {named[-1]}"] if named else []
    finite = np.isfinite(values)
    return [(name, np.flatnonzero((band == i) & finite)) for i, name in enumerate(names)]


def _named(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    return str(value)
