"""Metrics by group of an attribute: sex, age band, hospital."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.core.errors import DataError, did_you_mean
from medkit.core.lazy import pd
from medkit.evaluation.early_warning.stays import reserved_columns
from medkit.evaluation.groups.group_calibration import group_calibration
from medkit.evaluation.notes import with_notes
from medkit.evaluation.part_metrics import measure
from medkit.evaluation.results import GroupResult
from medkit.evaluation.rows import EvaluatedRows

if TYPE_CHECKING:
    from medkit.config.experiment import Evaluation

log = logging.getLogger("medkit")

_MANY_VALUES = 10  # a numeric attribute with more distinct values is cut into quarters


def check_subgroups(samples: pd.DataFrame, settings: Evaluation) -> None:
    """Refuse subgroups that are no attribute, and bands of none; call it before training.

    Raises:
        DataError: The column is not there or is the patient; or cut points of an attribute that is
            not among the subgroups, holds no numbers, or that do not rise.
    """
    reserved = ("subject", *reserved_columns(samples))
    known = [str(column) for column in samples.columns if column not in reserved]
    for attribute in settings.subgroups:
        if attribute in reserved:
            raise DataError(f"'{attribute}' cannot be a subgroup", place="evaluation.subgroups")
        if attribute not in known:
            near = did_you_mean(attribute, known)
            listed = f"; attributes: {', '.join(known)}" if known else "; the samples have none"
            raise DataError(
                f"no attribute '{attribute}'{near or listed}",
                place="evaluation.subgroups",
                hint="Name it in the dataset section, so that it is kept as an attribute.",
            )
    for attribute, cuts in settings.bands.items():
        _check_bands(samples, attribute, cuts, settings.subgroups)


def _check_bands(
    samples: pd.DataFrame, attribute: str, cuts: tuple[float, ...], subgroups: tuple[str, ...]
) -> None:
    place = f"evaluation.bands.{attribute}"
    if attribute not in subgroups:
        near = did_you_mean(attribute, subgroups) or "; name it there too"
        raise DataError(f"'{attribute}' is not among evaluation.subgroups{near}", place=place)
    rising = all(low < high for low, high in itertools.pairwise(cuts))
    if not cuts or not rising or not np.isfinite(cuts).all():
        listed = ", ".join(_named(float(cut)) for cut in cuts) or "none"
        raise DataError(
            f"cut points must be numbers that rise; got {listed}",
            place=place,
            hint="[40, 65] makes the bands under 40, 40 to under 65, and 65 and over.",
        )
    if not _numeric(_years(samples[attribute])):
        raise DataError(
            f"the attribute holds no numbers ({samples[attribute].dtype}): it cannot be cut",
            place=place,
            hint="Take it out of evaluation.bands: its values are groups already.",
        )


def subgroup_metrics(rows: EvaluatedRows) -> dict[str, dict[str, GroupResult]]:
    """Metrics of each group of each attribute.

    A numeric attribute is cut at its ``settings.bands``, or else, if it has many values, at its
    quartiles. Groups of fewer than ``settings.minimum_group`` subjects become one,
    ``other (k values)``, and are named nowhere: values this rare may identify a patient. If even
    together they are too few (or those with the attribute missing are), the group is suppressed:
    no numbers, for privacy and for sense.

    Returns:
        ``{attribute: {value: {n, subjects, positives, metrics, threshold, calibration}}}`` with
        ``notes`` where one class only leaves metrics undefined or events are few, or
        ``{"suppressed": reason}`` in place of a small group's numbers. ``calibration`` is what
        ``group_calibration`` returns.
    """
    samples = rows.samples
    if samples is None:
        return {}
    for attribute in rows.settings.subgroups:
        if attribute == "subject" or attribute not in samples:
            log.warning("no subgroups by '%s': these samples have no such attribute", attribute)
        elif len(samples) and samples[attribute].isna().all():
            log.warning("no subgroups by '%s': it is missing in all rows", attribute)
    found: dict[str, dict[str, GroupResult]] = {}
    for attribute, named in divided(samples, rows.codes, rows.settings).items():
        groups: dict[str, GroupResult] = {}
        for value, (which, suppressed) in named.items():
            if suppressed:
                groups[value] = {"suppressed": suppressed}
                continue
            in_group = rows.take(which)
            groups[value] = {
                **with_notes(measure(in_group)[0], rows.task),
                "calibration": group_calibration(in_group),
            }
        found[attribute] = groups
    return found


def divided(
    samples: pd.DataFrame, codes: np.ndarray, settings: Evaluation
) -> dict[str, dict[str, tuple[np.ndarray, str | None]]]:
    """Attribute -> group -> its rows and, if the group must not be shown, why.

    Args:
        samples: (n rows) attributes.
        codes: (n,) subject number of each row.
        settings: Names of the attributes, cut points, smallest group.
    """
    found: dict[str, dict[str, tuple[np.ndarray, str | None]]] = {}
    for attribute in settings.subgroups:
        if attribute == "subject" or attribute not in samples:
            continue
        if len(samples) and samples[attribute].isna().all():
            nobody = (np.arange(len(samples)), "the attribute is missing in all rows")
            found[attribute] = {"missing": nobody}
            continue
        minimum, cuts = settings.minimum_group, settings.bands.get(attribute, ())
        small = f"fewer than {minimum} subjects"
        found[attribute] = {
            value: (rows, small if len(np.unique(codes[rows])) < minimum else None)
            for value, rows in _groups(samples[attribute], codes, minimum, cuts)
        }
    return found


def _groups(
    column: pd.Series, codes: np.ndarray, minimum: int, cuts: tuple[float, ...] = ()
) -> list[tuple[str, np.ndarray]]:
    column = _years(column)
    numeric = _numeric(column)
    if numeric:
        infinite = np.isinf(column.astype(float).to_numpy(na_value=np.nan))
        column = column.mask(infinite) if infinite.any() else column
    missing = column.isna().to_numpy()
    if numeric and cuts:
        groups = _bands(column.astype(float).to_numpy(na_value=np.nan), cuts)
    elif numeric and column[~missing].nunique() > _MANY_VALUES:
        groups = _quarters(column.astype(float).to_numpy(na_value=np.nan))
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


def _years(column: pd.Series) -> pd.Series:
    return column.dt.year if pd.api.types.is_datetime64_any_dtype(column) else column


def _numeric(column: pd.Series) -> bool:
    numeric = pd.api.types.is_numeric_dtype(column)
    return bool(numeric and not pd.api.types.is_bool_dtype(column))


def _bands(values: np.ndarray, cuts: tuple[float, ...]) -> list[tuple[str, np.ndarray]]:
    """Bands at given cut points (lower bound included); those without rows are left out."""
    named = [_named(float(cut)) for cut in cuts]
    names = [f"under {named[0]}"]
    names += [f"{low} to under {high}" for low, high in itertools.pairwise(named)]
    names += [f"{named[-1]} and over"]
    band = np.where(np.isfinite(values), np.searchsorted(cuts, values, side="right"), -1)
    groups = [(name, np.flatnonzero(band == i)) for i, name in enumerate(names)]
    return [(name, rows) for name, rows in groups if len(rows)]


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
