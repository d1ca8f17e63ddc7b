"""Irregular measurements of hospital stays (subject, time, variable, value) on a regular grid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from medkit.cohort import Cohort, Feature, RawInput, Source
from medkit.datasets._columns import Roles, Targets, read_targets
from medkit.datasets._event_files import EventColumns, read_events
from medkit.datasets._files import column_names, read_table, require
from medkit.datasets._grid import grid_of, hours_of
from medkit.datasets._ranges import Outside, Ranges, check_ranges, note_of, within
from medkit.datasets._values import as_identifier, sentinels_of
from medkit.errors import DataError, did_you_mean
from medkit.files import existing, sha256
from medkit.lazy import pd
from medkit.registry import datasets
from medkit.values import is_sentinel

Aggregate = Literal["mean", "last", "min", "max", "sum"]


@datasets.register(
    yields="series",
    unlabelled={"labels": None, "target": None, "targets": (), "target_above": None},
)
def events(
    *,
    path: Path,
    labels: Path | None = None,
    target: str | None = None,
    targets: tuple[str, ...] = (),
    target_above: float | None = None,
    stay: str = "stay",
    time: str = "time",
    variable: str = "variable",
    value: str = "value",
    hours: Annotated[float, Field(gt=0)] = 48.0,
    step_hours: Annotated[float, Field(gt=0)] = 1.0,
    aggregate: Aggregate = "mean",
    aggregates: dict[str, Aggregate] | None = None,
    variables: tuple[str, ...] | None = None,
    ignore: tuple[str, ...] = (),
    units: dict[str, str] | None = None,
    ranges: dict[str, tuple[float, float]] | None = None,
    outside: Outside = "missing",
    missing_values: dict[str, tuple[str | int | float, ...]] | None = None,
    subject: str | None = None,
    admission: str | None = None,
    time_format: str | None = None,
    site: str | None = None,
    attributes: tuple[str, ...] = (),
) -> Cohort:
    """One stay a sample, from measurements in a long table or in one file a stay.

    Events become a grid of steps by variables. Only events from the start of the stay up to
    ``hours`` enter; labels come from a second table with one row a stay, whose columns are never
    inputs. Stays without events and stays without a label are left out and counted. Times are
    numbers of hours, ``HH:MM`` since admission, or timestamps, counted from the stay's first
    event.

    Args:
        path: A table (CSV, TSV, Parquet) with one event a row, or a folder or archive
            (``.tar.gz``, ``.zip``) with one CSV file a stay, named after the stay.
        labels: The table with one row a stay; None when only predicting.
        target: The column of ``labels`` to predict.
        targets: Several columns of ``labels`` to predict instead of one.
        target_above: Predict whether the target is above this value (label 1) or not (0).
        stay: The column with the stay's id, in ``labels`` and in a long table of events.
        time: The column with the event's time.
        variable: The column that says what was measured.
        value: The column with the number measured.
        hours: Length of the window, in hours from the start of the stay.
        step_hours: Length of one time step, in hours.
        aggregate: How several values within one step become one.
        aggregates: The same for single variables: ``{Urine: sum}``.
        variables: The variables that become channels, in this order; by default all, sorted.
        ignore: Variables that become no channel.
        units: Unit by variable: ``{HR: bpm}``.
        ranges: Plausible lowest and highest value by variable, in its unit: ``{pH: [6.5, 8]}``.
        outside: What becomes of a value outside its range: missing, clip (to the range's end)
            or keep. They are counted in any case.
        missing_values: Values that mean 'missing', by variable, or for all under ``"*"``.
        subject: The column of ``labels`` with the patient; where every stay is another
            patient, the stay's own column.
        admission: The column of ``labels`` with the date of admission, for splits by time.
        time_format: How timestamps of events and admissions are written, as in
            ``"%d.%m.%Y %H:%M"``; by default ISO 8601 (2024-05-31 14:30).
        site: The column of ``labels`` with the hospital, for splits by site.
        attributes: Columns of ``labels`` kept for splits and subgroups.

    Returns:
        A cohort indexed by stay with one ``series`` input: float32 (stays, steps, variables),
        NaN where nothing was measured.

    Raises:
        DataError: A file or column is absent, times or values cannot be read, values are
            infinite, stays repeat in ``labels``, or no stay has both events and a label.
    """
    labelled = labels is not None
    if not labelled and (target is not None or targets):
        raise DataError("a target needs the table it is a column of: labels", place="dataset")
    columns = EventColumns(stay, time, variable, value)
    frame, files = read_events(path, columns, labels)
    codes, stays = pd.factorize(frame["stay"])
    # A patient number or an outcome that lies among the measurements is no measurement.
    excluded = {*ignore, stay, *targets, target}
    measured = _measurements(
        frame, codes, excluded, missing_values or {}, columns, time_format, path
    )
    names = _channels(measured["variable"], variables, labelled, path)
    place = measured["variable"].map({name: k for k, name in enumerate(names)})
    measured = measured[place.notna()].assign(variable=place.dropna().astype("int64"))
    if labelled and measured.empty:
        raise DataError("no event has a value", place=str(path))
    measured, notes = _plausible(measured, names, ranges or {}, outside)

    steps = int(np.ceil(hours / step_hours))
    inside = (measured["hours"] >= 0) & (measured["hours"] < hours)
    if not inside.all():
        unused = int((~inside).sum())
        notes = (*notes, f"{unused} events outside the first {hours:g} h are not used")
    measured = measured[inside]
    present = np.zeros(len(stays), dtype=bool)
    present[measured["stay"].to_numpy()] = True

    if labels is None:
        kept = np.flatnonzero(present)
        samples = pd.DataFrame(index=pd.Index(np.asarray(stays)[kept], name="stay", dtype=object))
        found, read = Targets(None, (), present, ""), len(stays)
        dropped = {"no events": len(stays) - len(kept)}
    else:
        roles = Roles(subject, stay, admission, site, attributes, time_format)
        samples, found, kept, dropped, read = _labelled(
            labels, roles, (target, targets, target_above), stays, present
        )
        files = {**files, labels.name: sha256(labels)}
    position = np.full(len(stays), -1)
    position[kept] = np.arange(len(kept))
    rows = position[measured["stay"].to_numpy()]
    used = rows >= 0
    grid = grid_of(
        rows[used],
        np.minimum(measured["hours"].to_numpy()[used] // step_hours, steps - 1).astype("int64"),
        measured["variable"].to_numpy()[used],
        measured["value"].to_numpy()[used],
        measured["hours"].to_numpy()[used],
        (len(kept), steps, len(names)),
        [(aggregates or {}).get(name, aggregate) for name in names],
    )
    counted = {reason: int(count) for reason, count in dropped.items() if count}
    limits = ranges or {}
    features = tuple(
        Feature(
            name,
            unit=(units or {}).get(name),
            low=limits[name][0] if name in limits else None,
            high=limits[name][1] if name in limits else None,
            # A range is that of a single event, which a step's sum may well exceed.
            outside="keep" if (aggregates or {}).get(name, aggregate) == "sum" else outside,
            missing_values=sentinels_of(missing_values, name),
        )
        for name in names
    )
    return Cohort(
        samples=samples,
        inputs={"series": RawInput("series", grid, features)},
        targets=found.values,
        source=Source(files, read, counted, found.label, notes),
        target_names=found.names,
    )


def _measurements(
    frame: pd.DataFrame,
    codes: np.ndarray,
    excluded: set[str | None],
    missing_values: dict[str, tuple[Any, ...]],
    columns: EventColumns,
    time_format: str | None,
    path: Path,
) -> pd.DataFrame:
    """Events with a variable, a time and a finite value: ``stay`` code, variable, hours, value."""
    variables = frame["variable"]
    meant = variables.notna() & ~variables.isin([v for v in excluded if v])
    stood_in = is_sentinel(frame["value"], missing_values.get("*", ()))
    usable = (meant & frame["value"].notna() & ~stood_in).to_numpy(copy=True)
    for name in set(missing_values) - {"*"}:
        of_name = np.flatnonzero((variables == name).to_numpy())
        found = is_sentinel(frame["value"].iloc[of_name], missing_values[name])
        usable[of_name[found.to_numpy()]] = False
    hours = hours_of(frame["time"].rename(columns.time), codes, str(path), time_format)
    usable &= ~np.isnan(hours)
    values = pd.to_numeric(frame["value"][usable], errors="coerce")
    wrong = values.index[values.isna()]
    if len(wrong):
        raise DataError(
            f"column '{columns.value}' has {len(wrong)} texts where numbers are due (first at "
            f"row {wrong[0]}, variable '{variables[wrong[0]]}')",
            place=str(path),
            hint="List the variable under ignore, or the text under missing_values.",
        )
    infinite = values.index[np.isinf(values.to_numpy(dtype="float64"))]
    if len(infinite):
        raise DataError(
            f"column '{columns.value}' has {len(infinite)} infinite values (first at row "
            f"{infinite[0]}, variable '{variables[infinite[0]]}')",
            place=str(path),
        )
    return pd.DataFrame(
        {
            "stay": codes[usable],
            "variable": variables[usable].astype("str").str.strip().astype("category"),
            "hours": hours[usable],
            "value": values.to_numpy(dtype="float64"),
        }
    )


def _channels(
    found: pd.Series, variables: tuple[str, ...] | None, labelled: bool, path: Path
) -> list[str]:
    known = sorted(found.cat.categories)
    if variables is None:
        if not known:
            raise DataError("no event has a value", place=str(path))
        return known
    absent = [name for name in variables if name not in known]
    if absent and labelled:
        raise DataError(
            f"no event of a variable called '{absent[0]}'{did_you_mean(absent[0], known)}",
            place=str(path),
            hint=f"It has: {', '.join(known[:40])}.",
        )
    return list(variables)


def _plausible(
    measured: pd.DataFrame, names: list[str], ranges: Ranges, outside: Outside
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The events whose values count, and a note on those that lay outside their range."""
    check_ranges(ranges)
    values = measured["value"].to_numpy(dtype="float64", copy=True)
    variables = measured["variable"].to_numpy()
    counts = {}
    for name in names:
        if name in ranges:
            of_name = np.flatnonzero(variables == names.index(name))
            values[of_name], counts[name] = within(values[of_name], ranges[name], outside)
    return measured.assign(value=values)[~np.isnan(values)], note_of(counts, outside)


def _labelled(
    labels: Path,
    roles: Roles,
    target: tuple[str | None, tuple[str, ...], float | None],
    stays: Any,
    present: np.ndarray,
) -> tuple[pd.DataFrame, Targets, np.ndarray, dict[str, int], int]:
    """Samples, targets and positions among ``stays`` of the stays with events and a label."""
    existing(labels, "labels file")
    names = column_names(labels)
    require(str(roles.id), names, labels, "stay column")
    roles = roles.within(names, labels, labelled=True)
    table = read_table(labels, text=(roles.subject, roles.id))
    samples = roles.samples(table, labels, labelled=True)
    samples.index = samples.index.rename("stay")
    repeated = np.flatnonzero(samples.index.duplicated())
    if len(repeated):
        raise DataError(
            f"{len(repeated)} stays have more than one row (first at row {repeated[0] + 1})",
            place=str(labels),
            hint="One row a stay is expected.",
        )
    known = pd.Index(as_identifier(pd.Series(np.asarray(stays, dtype=object))))
    place = known.get_indexer(samples.index)
    with_events = (place >= 0) & np.append(present, False)[place]
    if not with_events.any():
        raise DataError(
            f"none of its {len(samples)} stays has events",
            place=str(labels),
            hint=f"Does column '{roles.id}' hold the same ids as the events?",
        )
    found = read_targets(table, *target, labels)
    kept = found.present & with_events
    values = None if found.values is None else found.values[kept[found.present]]
    unlabelled = int(present.sum() - with_events.sum())
    dropped = {
        "no events": int((~with_events).sum()),
        "no label": unlabelled,
        "missing target": int((with_events & ~found.present).sum()),
    }
    taken = Targets(values, found.names, found.present, found.label)
    return samples[kept], taken, place[kept], dropped, len(samples) + unlabelled
