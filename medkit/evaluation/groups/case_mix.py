"""Table 1: who is in each part of the data, as aggregates that name nobody.

``table_one`` returns ::

    {"parts": {"train": {"n": 398, "subjects": 398}, "valid": …, "test": …},
     "minimum_group": 10,
     "rows": [
       {"name": "age", "role": "input", "kind": "numeric", "unit": "years",
        "parts": {"train": {"n": 390, "missing": 8, "mean": 61.2, "sd": 9.8,
                            "median": 62.0, "q1": 54.0, "q3": 69.0},
                  "test": {"n": 7, "missing": 0, "suppressed": "fewer than 10 subjects"}}},
       {"name": "sex", "role": "attribute", "kind": "categorical", "unit": None,
        "parts": {"train": {"n": 398, "missing": 0, "counts": {"female": 120, "male": 278}}}},
       {"name": "died", "role": "outcome", "kind": "categorical", "unit": None, "parts": …}],
     "notes": ["…"]}

``role`` is ``input``, ``attribute`` or ``outcome``; ``n`` counts the samples with a value and
``missing`` those without. A count of ``None`` stands for fewer than ``minimum_group`` subjects; it
is kept back together with a second one where it could otherwise be had by subtraction. Of an
outcome that subjects have several times, ``icc`` is its intra-class correlation within subjects and
``design_effect`` by how much fewer independent rows would tell as much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from medkit.core.lazy import pd
from medkit.evaluation.clusters import design_effect, intraclass_correlation
from medkit.evaluation.early_warning.stays import reserved_columns
from medkit.evaluation.methods import methods_for
from medkit.evaluation.resampling.intervals import plain
from medkit.evaluation.resampling.resampling import subject_codes
from medkit.evaluation.results import TableOne
from medkit.tasks.task import Task

if TYPE_CHECKING:
    import pandas

    from medkit.data.cohort import Feature
    from medkit.data.inputs import Inputs
    from medkit.data.parts import Part
    from medkit.modalities.encoder import Encoder

MOST_ROWS = 100  # inputs shown; a spectrum of 4096 k-mers is no table
_MOST_GROUPS = 20  # a text attribute with more values is no group
_OTHER_USES = ("subject", "time")
_UNKNOWN = "(not seen in training)"
_FACTS = ("n", "missing", "mean", "sd", "median", "q1", "q3")


def table_one(
    parts: Mapping[str, Part],
    encoder: Encoder,
    task: Task,
    minimum_group: int = 10,
    features: Mapping[str, pandas.DataFrame] | None = None,
) -> TableOne:
    """Describe inputs, attributes and outcome of each part; see the module for what comes back.

    Args:
        parts: The parts, encoded.
        encoder: The fitted encoder; its summary features are the inputs' rows.
        task: The fitted task, which names the outcomes.
        minimum_group: Cells of fewer subjects are suppressed.
        features: ``encoder.summarize`` of each part, where it was computed before.

    Returns:
        Plain JSON; standard deviations have n - 1 in the denominator.
    """
    notes: list[str] = []
    columns = {
        name: list(_columns(part, encoder, task, None if features is None else features[name]))
        for name, part in parts.items()
    }
    codes = {name: subject_codes(part.cohort.subjects) for name, part in parts.items()}
    first = next(iter(columns.values()))
    inputs = sum(column["role"] == "input" for column in first)
    if inputs > MOST_ROWS:
        notes.append(f"the first {MOST_ROWS} of {inputs} input features are shown")
    rows = []
    shown = 0
    for position, column in enumerate(first):
        shown += column["role"] == "input"
        if column["role"] == "input" and shown > MOST_ROWS:
            continue
        if column["role"] == "attribute" and not _few_groups(column, notes):
            continue
        row = {key: column[key] for key in ("name", "role", "kind", "unit")}
        row["parts"] = {
            name: _described(own[position], codes[name], minimum_group)
            for name, own in columns.items()
        }
        rows.append(row)
    sizes = {name: {"n": len(c), "subjects": int(c.max()) + 1} for name, c in codes.items()}
    return {
        "parts": sizes, "minimum_group": minimum_group, "rows": plain(rows), "notes": notes
    }  # fmt: skip


def _few_groups(column: dict[str, Any], notes: list[str]) -> bool:
    if column["kind"] == "numeric" or len(set(column["values"])) <= _MOST_GROUPS:
        return True
    notes.append(f"attribute '{column['name']}' is left out: more than {_MOST_GROUPS} values")
    return False


def _columns(
    part: Part, encoder: Encoder, task: Task, features: pandas.DataFrame | None
) -> Iterator[dict[str, Any]]:
    """Every row's values (n,) in one part: float with NaN, or text with None for missing."""
    frame = encoder.summarize(part.inputs) if features is None else features
    yield from _inputs(frame, part.inputs, encoder)
    taken = {feature.name for feature in encoder.features}
    watched = reserved_columns(part.cohort.samples)
    for name in part.cohort.samples.columns:
        if name not in (*_OTHER_USES, *watched, *taken):
            yield _attribute(str(name), part.cohort.samples[name])
    for name, values in methods_for(task).described(part.y).items():
        yield _column(name, "outcome", values)


def _column(name: str, role: str, values: np.ndarray, unit: str | None = None) -> dict[str, Any]:
    kind = "categorical" if values.dtype == object else "numeric"
    return {"name": name, "role": role, "kind": kind, "unit": unit, "values": values}


def _inputs(frame: pandas.DataFrame, inputs: Inputs, encoder: Encoder) -> Iterator[dict[str, Any]]:
    features = iter(encoder.features)
    named: dict[str, Feature] = {}
    columns: dict[str, np.ndarray] = {}
    for source, modality in encoder.modalities.items():
        x = inputs[source]
        mine = {each.name: each for each in islice(features, len(modality.features))}
        named |= mine
        if x.ndim == 2 and x.shape[1] == len(mine):
            columns |= {name: x[:, position] for position, name in enumerate(mine)}
    done: set[str] = set()
    for name in map(str, frame.columns):
        category_of = next(
            (f for f, each in named.items()
             if each.kind == "categorical" and name.startswith(f"{f} = ")), None,
        )  # fmt: skip
        if category_of is None:
            yield _column(name, "input", frame[name].to_numpy(float), encoder.unit_of(name))
        elif category_of not in done:
            done.add(category_of)
            found = _categories(frame, category_of, columns.get(category_of))
            yield _column(category_of, "input", found)


def _categories(frame: pandas.DataFrame, feature: str, codes: np.ndarray | None) -> np.ndarray:
    """(n,) category names out of one-hot columns; None where missing."""
    prefix = f"{feature} = "
    columns = [name for name in frame.columns if str(name).startswith(prefix)]
    hot = frame[columns].to_numpy() == 1
    names = np.array([str(name).removeprefix(prefix) for name in columns], dtype=object)
    found = np.full(len(frame), None, dtype=object)
    found[hot.any(axis=1)] = names[hot.argmax(axis=1)[hot.any(axis=1)]]
    if codes is not None:
        # Neither missing nor known: a category that training never saw.
        found[~hot.any(axis=1) & ~np.isnan(codes.astype(float))] = _UNKNOWN
    return found


def _attribute(name: str, column: pandas.Series) -> dict[str, Any]:
    if pd.api.types.is_datetime64_any_dtype(column):
        column = column.dt.year
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return _column(name, "attribute", column.astype(float).to_numpy())
    texts = column.astype(str).to_numpy(dtype=object, copy=True)
    texts[column.isna().to_numpy()] = None
    return _column(name, "attribute", texts)


def _described(column: dict[str, Any], codes: np.ndarray, minimum: int) -> dict[str, Any]:
    values = column["values"]
    if column["kind"] == "numeric":
        return _of_numbers(values, codes, minimum, column["role"])
    present = values != None  # noqa: E711 - elementwise
    found: dict[str, Any] = {"n": int(present.sum()), "missing": int((~present).sum())}
    names = sorted(set(values[present]))
    counts: dict[str, int] = {name: int((values == name).sum()) for name in names}
    if column["role"] == "outcome":  # its counts stand in every report's first line
        classes = np.column_stack([values[present] == name for name in names])
        return {**found, "counts": counts, **_alike(classes, codes[present])}
    subjects = {name: len(np.unique(codes[values == name])) for name in names}
    return {**found, "counts": _kept_back(counts, subjects, minimum)}


def _kept_back(
    counts: Mapping[str, int], subjects: Mapping[str, int], minimum: int
) -> dict[str, int | None]:
    hidden = {name for name, n in subjects.items() if n < minimum}
    if len(hidden) == 1 and len(counts) > 1:
        # One hidden cell is n minus the others: the next smallest goes with it.
        hidden.add(min((n, name) for name, n in counts.items() if name not in hidden)[1])
    return {name: None if name in hidden else n for name, n in counts.items()}


def _of_numbers(
    values: np.ndarray, codes: np.ndarray, minimum: int, role: str
) -> dict[str, Any]:  # fmt: skip
    present = np.isfinite(values)
    known = values[present]
    found: dict[str, Any] = {"n": len(known), "missing": int((~present).sum())}
    if len(np.unique(codes[present])) < minimum:
        return {**found, "suppressed": f"fewer than {minimum} subjects"}
    q1, median, q3 = np.quantile(known, [0.25, 0.5, 0.75])
    spread = known.std(ddof=1) if len(known) > 1 else np.nan
    facts = (*found.values(), known.mean(), spread, median, q1, q3)
    alike = _alike(known, codes[present]) if role == "outcome" else {}
    return {**dict(zip(_FACTS, facts, strict=True)), **alike}


def _alike(values: np.ndarray, codes: np.ndarray) -> dict[str, float]:
    """How alike the outcomes of one subject are, and what that costs; nothing of single rows."""
    correlation = intraclass_correlation(values, codes)
    if correlation is None:
        return {}
    return {"icc": correlation, "design_effect": design_effect(correlation, codes)}
