"""Waveforms: WFDB records (PhysioNet's format) cut into windows, with labels from annotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from medkit.core.errors import DataError, MedkitError, did_you_mean
from medkit.core.files import existing
from medkit.core.groups import ParameterGroup
from medkit.core.lazy import pd
from medkit.core.limits import check_memory
from medkit.core.registry import datasets, with_groups
from medkit.data.cohort import Cohort, Feature, RawInput, Source
from medkit.datasets.parameters import Target
from medkit.datasets.table.columns import Roles, read_targets
from medkit.readers.tables import column_names, fingerprint, read_table

if TYPE_CHECKING:
    import pandas


class Window(ParameterGroup):
    """What one sample is: so many seconds around each beat, or one stretch after the other."""

    short = "seconds"

    seconds: Annotated[float, Field(gt=0)] = 10.0
    """Length of a window."""
    around: str | None = None
    """Windows around the beats that an annotator marked: the suffix of the annotation files, as
    ``atr``. By default windows follow one another through the whole record."""
    before: Annotated[float, Field(ge=0)] | None = None
    """Seconds of the window before the beat; by default half of it."""
    annotator: str = "atr"
    """Suffix of the annotation files that ``classes`` are looked up in, where windows follow one
    another."""


@dataclass(frozen=True)
class _Record:
    name: str
    base: str  # path without suffix, as wfdb takes it
    rate: float
    units: dict[str, str]  # lead -> unit
    samples: int


@datasets.register(yields="waveform", unlabelled={"classes": {}, "target": None})
@with_groups
def waveforms(
    *,
    path: Path,
    window: Window = Window(),
    classes: dict[str, tuple[str, ...]] | None = None,
    leads: tuple[str, ...] = (),
    records: tuple[str, ...] = (),
    table: Path | None = None,
    columns: Roles = Roles(id="record"),
    target: Target | None = None,
) -> Cohort:
    """Windows of the WFDB records in a folder (``.hea`` with ``.dat``), as PhysioNet has them.

    The subject is the record, unless a table says whose it is. A window's class is that of the
    beat it lies around; of windows that follow one another, the first of ``classes`` of which it
    holds an annotation (those without any are dropped). A label of the whole record comes from the
    table. Windows that reach beyond their record are dropped and counted.

    Args:
        path: The folder with the records (those of its subfolders too), or one ``.hea`` file.
        window: What one sample is: ``{seconds: 0.8, around: atr}``.
        classes: Class -> symbols of its annotations: ``{normal: [N], ventricular: [V]}``. Beats
            with other symbols are left out.
        leads: Names of the signals to take, in this order; by default all, which every record must
            have.
        records: Names of the records to take; by default all.
        table: A CSV, TSV or Parquet file with a row a record.
        columns: Which of the table's columns names the record (``id``), and whose, when and where
            it is.
        target: What is predicted, of the table's columns.

    Returns:
        A cohort with one ``waveform`` input: float32 (n, samples, leads) in the records' physical
        units. The index is the record's name and the window's first sample.

    Raises:
        DataError: No records, one that cannot be read, another sampling rate or unit than the
            rest, a lead that is absent, no window with a label, or a record the table lacks.
        MedkitError: The package wfdb is not installed.
    """
    found = _headers(existing(path, "file or folder"), records)
    _same_rate(found)
    names = _leads(found, leads)
    described = None if table is None else _described(table, columns, target, found)
    signals, cut, dropped = [], [], Counter[str]()
    for record in found:
        starts, labels, gone = _windows(record, window, classes or {})
        dropped += gone
        length = round(window.seconds * record.rate)
        signal = _signal(record, names)
        what = f"{len(starts):,} windows of {length:,} samples"
        check_memory(4.0 * len(starts) * length * len(names), what, str(record.base))
        signals.append(np.stack([signal[s : s + length] for s in starts]) if len(starts) else
                       np.empty((0, length, len(names)), "float32"))  # fmt: skip
        ids = [f"{record.name}:{start}" for start in starts]
        cut.append(pd.DataFrame({"id": ids, "record": record.name, "class": labels}))
    windows = pd.concat(cut, ignore_index=True).set_index("id").rename_axis("window")
    values = np.concatenate(signals)
    kinds = tuple(Feature(name, unit=found[0].units[name] or None) for name in names)
    raw = RawInput("waveform", values, kinds, step_seconds=1 / found[0].rate)
    files = [file for record in found for file in sorted(Path(record.base).parent.glob(
        f"{Path(record.base).name}.*"))]  # fmt: skip
    label, target_names = "", tuple[str, ...]()
    targets: np.ndarray | None = None
    samples = pd.DataFrame({"subject": windows["record"]})
    if described is not None:
        of_record, answers = described
        rows = of_record.index.get_indexer(pd.Index(windows["record"]))
        samples = of_record.iloc[rows].set_axis(windows.index)
        samples = samples.assign(subject=samples.get("subject", windows["record"]))
        if target is not None:
            target_names, label = target.columns, "a column of the table of records"
            targets = answers[rows, 0] if len(target_names) == 1 else answers[rows]
    if classes:
        targets, target_names = windows["class"].to_numpy(dtype=object), ("class",)
        label = "symbols of the annotations"
    if not len(windows):
        raise DataError(
            "no window has a label", place=str(path), hint=f"Dropped: {_listed(dropped)}."
        )
    source = Source(
        {f"{path.resolve().name}/": fingerprint((file.name, file) for file in files)},
        len(windows) + sum(dropped.values()),
        dropped,
        label,
        (f"{len(found)} records at {found[0].rate:g} Hz, windows of {window.seconds:g} s",),
    )
    return Cohort(samples, {"waveform": raw}, targets, source, target_names)


def _wfdb() -> Any:
    try:
        import wfdb
    except ImportError as error:
        raise MedkitError(
            "WFDB records are read by the package wfdb, which is not installed",
            hint="pip install 'keras-medkit[waveforms]'",
        ) from error
    return wfdb


def _headers(path: Path, wanted: Sequence[str]) -> list[_Record]:
    """Every record below a folder, in the order of their names, from their headers alone."""
    wfdb = _wfdb()
    below = path.rglob("*.hea") if path.is_dir() else [path]
    files = sorted(file for file in below if file.is_file())
    known = [file.stem for file in files]
    for name in wanted:
        if name not in known:
            raise DataError(f"no record '{name}'{did_you_mean(name, known)}", place=str(path))
    if not files:
        raise DataError(
            "no WFDB records here", place=str(path), hint="Each has a header file, such as 106.hea."
        )
    found = []
    for file in files:
        if wanted and file.stem not in wanted:
            continue
        base = str(file.with_suffix(""))
        try:
            header = wfdb.rdheader(base)
            units = dict(zip(header.sig_name, header.units, strict=True))
            record = _Record(file.stem, base, float(header.fs), units, int(header.sig_len))
            if not 0 < record.rate < np.inf:
                raise ValueError(f"a sampling rate of {record.rate:g} Hz")
        except (OSError, ValueError, IndexError, TypeError, AttributeError) as error:
            raise DataError(f"record '{file.stem}' has no readable header: {error}") from error
        what = f"record '{record.name}' of {record.samples:,} samples"
        check_memory(8.0 * record.samples * len(units), what, str(file))
        found.append(record)
    return found


def _same_rate(records: Sequence[_Record]) -> None:
    usual, count = Counter(record.rate for record in records).most_common(1)[0]
    others = [record for record in records if record.rate != usual]
    if others:
        raise DataError(
            f"record '{others[0].name}' is sampled at {others[0].rate:g} Hz, {count} of "
            f"{len(records)} records at {usual:g} Hz",
            hint="Resample it (wfdb.processing.resample_sig), or name the others in "
            "dataset.records.",
        )


def _leads(records: Sequence[_Record], wanted: Sequence[str]) -> list[str]:
    """The leads to take; each record has them, in the same unit."""
    names = list(wanted) or list(records[0].units)
    for record in records:
        for name in names:
            if name not in record.units:
                near = did_you_mean(name, list(record.units))
                raise DataError(
                    f"record '{record.name}' has no lead '{name}'{near}",
                    hint=f"It has {', '.join(record.units)}. Name those to take in dataset.leads.",
                )
            if record.units[name] != records[0].units[name]:
                raise DataError(
                    f"lead '{name}' is in {record.units[name]} in record '{record.name}', in "
                    f"{records[0].units[name]} in record '{records[0].name}'",
                    hint="Rewrite one of them in the other's unit.",
                )
    return names


def _windows(
    record: _Record, window: Window, classes: dict[str, tuple[str, ...]]
) -> tuple[np.ndarray, list[Any], Counter[str]]:
    """First sample and class of each window, and how many were dropped for what."""
    class_of = {symbol: name for name, symbols in classes.items() for symbol in symbols}
    length = round(window.seconds * record.rate)
    dropped = Counter[str]()
    if window.around is not None:
        from wfdb.io.annotation import ann_label_table, is_qrs  # is_qrs: by the symbol's code

        at, symbols = _annotations(record, window.around)
        beats = {row.symbol for row in ann_label_table.itertuples() if is_qrs[row.label_store]}
        before = window.seconds / 2 if window.before is None else window.before
        starts = at - round(before * record.rate)
        taken = np.array([s in class_of if classes else s in beats for s in symbols], dtype=bool)
        inside = (starts >= 0) & (starts + length <= record.samples)
        dropped["annotation of no class"] = int((~taken).sum())
        dropped["window beyond the record"] = int((taken & ~inside).sum())
        kept = np.flatnonzero(taken & inside)
        return starts[kept], [class_of.get(symbols[i]) for i in kept], dropped
    starts = np.arange(0, record.samples - length + 1, length)
    if not classes:
        return starts, [None] * len(starts), dropped
    at, symbols = _annotations(record, window.annotator)
    order = list(classes)
    labels: list[Any] = [None] * len(starts)
    for sample, symbol in zip(at, symbols, strict=True):
        number = int(sample) // length
        if symbol in class_of and number < len(labels):
            seen = [each for each in (labels[number], class_of[symbol]) if each is not None]
            labels[number] = min(seen, key=order.index)
    labelled = [i for i, each in enumerate(labels) if each is not None]
    dropped["window without an annotation of the classes"] = len(labels) - len(labelled)
    return starts[labelled], [labels[i] for i in labelled], dropped


def _annotations(record: _Record, suffix: str) -> tuple[np.ndarray, list[str]]:
    try:
        found = _wfdb().rdann(record.base, suffix)
    except (OSError, ValueError, IndexError) as error:
        raise DataError(
            f"record '{record.name}' has no readable annotations '{record.name}.{suffix}'",
            hint="Name the suffix of the annotation files in dataset.window.",
        ) from error
    return np.asarray(found.sample, dtype="int64"), list(found.symbol)


def _signal(record: _Record, names: Sequence[str]) -> np.ndarray:
    """(samples, leads) float32 in physical units."""
    try:
        found = _wfdb().rdrecord(record.base, channel_names=list(names), return_res=32)
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"the signals of record '{record.name}' cannot be read: {error}") from error
    order = [found.sig_name.index(name) for name in names]
    return np.asarray(found.p_signal[:, order], dtype="float32")


def _described(
    path: Path, columns: Roles, target: Target | None, records: Sequence[_Record]
) -> tuple[pandas.DataFrame, np.ndarray]:
    """Roles by record; and targets (records, outputs), of a table without any (records, 1)."""
    names = column_names(existing(path, "table"))
    frame = read_table(path, text=(columns.id, columns.subject))
    samples = columns.within(names, path, True).samples(frame, path, True)
    again = np.flatnonzero(samples.index.duplicated())
    if len(again):
        raise DataError(
            f"{len(again)} records have more than one row (first at row {again[0] + 1})",
            place=str(path),
            hint="One row a record is expected.",
        )
    found = read_targets(frame, target, path)
    samples = samples[found.present]
    lacking = [each.name for each in records if each.name not in samples.index]
    if lacking:
        raise DataError(
            f"the table has no row for {len(lacking)} of {len(records)} records, first "
            f"'{lacking[0]}'",
            place=str(path),
            hint="Add them, or name the records to take in dataset.records.",
        )
    return samples, np.asarray(found.values).reshape(len(samples), -1)


def _listed(dropped: Counter[str]) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in dropped.items()) or "nothing"
