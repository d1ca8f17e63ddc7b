"""Rows that are near-identical: the distance to the nearest other rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from medkit.leakage.evidence import Evidence
from medkit.leakage.findings import Finding
from medkit.leakage.rows import pair_finding

NEAR = 0.1  # root mean square difference, in standard deviations
MANY_NUMBERS = 64  # that agree so well by no chance
REPEATED = 0.01
RARE = 1e-4
NEIGHBOURS = 10
PLACES = slice(5, 9)  # of the sixth to the ninth neighbour
EXPECTED = 0.318  # mean of log(d10 / dj) over them, in one dimension
FEWEST_COLUMNS = 3
MOST_ROWS = 20_000
WORK = 6e9  # operations in one comparison of two parts
DENSE = 0.95
CONTINUOUS = 32  # different values


class Standardized(NamedTuple):
    """Standardized numbers of each row.

    Args:
        values: (n, cells) float32, 0 where missing.
        seen: (n, cells) float32, 1 where observed; None if all are.
        step: Root mean square of the cells' usual step from one value to the next: rows that
            agree on so coarse a grid may differ by as much.
    """

    values: np.ndarray
    seen: np.ndarray | None
    step: float = 0.0


def near_rows(evidence: Evidence, keys: np.ndarray, left_out: set[str]) -> Iterator[Finding]:
    """Rows of a later part that are almost those of an earlier one, though not identical.

    A row counts as a copy if it is much nearer to one row of the other part than chance has it:
    of rows spread in m dimensions, the nearest lies within r times the distance of the tenth
    nearest with a probability of about 9 r^m (m estimated as by Levina and Bickel, 2004, from the
    sixth to the tenth, so that several copies of a row do no harm). Where
    64 or more continuous numbers are compared (a heartbeat), rows that agree to a tenth of a
    standard deviation in the root mean square, with their levels and without, are repeats of one
    subject if they are more than 1 %.

    Args:
        evidence: The rows.
        keys: (n,) hash of each row, to leave identical rows out.
        left_out: Columns that are not compared.
    """
    random = np.random.default_rng(0)
    # No more of a part is ever compared, so no more is read.
    parts = [np.flatnonzero(evidence.part == each) for each in range(len(evidence.parts))]
    rows = np.concatenate([_some(each, MOST_ROWS, random) for each in parts])
    cells = _cells(evidence, rows, left_out)
    if cells is None or cells.values.shape[1] < FEWEST_COLUMNS:
        return
    for a, b in evidence.pairs():
        first, second = (np.flatnonzero(evidence.part[rows] == each) for each in (a, b))
        compared, others = first, _some(second, _affordable(len(first), cells), random)
        if len(compared) < len(parts[a]) or len(others) < len(parts[b]):
            evidence.notes.append(
                f"near-identical rows: {len(others):,} of {len(parts[b]):,} {evidence.names[b]} "
                f"rows compared with {len(compared):,} of {len(parts[a]):,} {evidence.names[a]} "
                "rows"
            )
        distances = _nearest(cells, compared, others)
        fresh = ~np.isin(keys[rows[others]], keys[parts[a]])
        others, distances = others[fresh], distances[fresh]
        copies = _copies(distances, cells.step) | _repeats(cells, compared, others, distances)
        if copies.any():
            relation = "almost identical to"
            yield pair_finding("near_duplicates", evidence, a, b, others[copies], relation)


def _repeats(
    cells: Standardized, first: np.ndarray, second: np.ndarray, distances: np.ndarray
) -> np.ndarray:
    """(second,) bool: rows that repeat one of ``first`` in many numbers, their own level aside.

    Without its level, since slow signals agree in little else.
    """
    near = distances[:, 0] <= NEAR
    if cells.seen is not None or cells.values.shape[1] < MANY_NUMBERS or not near.any():
        return np.zeros(len(second), dtype=bool)
    values = cells.values - cells.values.mean(axis=1, keepdims=True)
    shape = Standardized(values / np.maximum(values.std(axis=0), 1e-6), None)
    near[near] = _nearest(shape, first, second[near])[:, 0] <= NEAR
    return near if near.sum() >= max(3, REPEATED * len(second)) else np.zeros_like(near)


def _copies(distances: np.ndarray, step: float) -> np.ndarray:
    """(n,) bool: which rows are copies, from their distances (n, neighbours), ascending."""
    from scipy.stats import poisson

    count, neighbours = distances.shape
    nearest = distances[:, 0]
    copies = np.zeros(count, dtype=bool)
    if neighbours < NEIGHBOURS or not count:
        return copies
    last = distances[:, -1]
    usable = (last > 0) & np.isfinite(last)
    if not usable.any():
        return copies
    # Rows without neighbours are infinitely far from the ninth as from the tenth.
    known = np.where(usable[:, None], np.maximum(distances, 1e-6), 1.0)
    spread = np.log(known[:, -1:] / known[:, PLACES]).mean(axis=1)
    typical = float(np.median(spread[usable]))
    dimensions = min(EXPECTED / max(typical, 1e-9), 8.0)
    # Far out, rows lie along a line: two of them may be close while all others are far.
    usable &= spread <= 2 * typical
    for ratio in (0.2, 0.1, 0.05):
        found = usable & (np.hypot(nearest, step) <= ratio * last) & (nearest <= NEAR)
        expected = 3 * count * (neighbours - 1) * ratio**dimensions
        if found.any() and poisson.sf(found.sum() - 1, expected) < RARE:
            return found
    return copies


def _nearest(cells: Standardized, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(second, up to 10) distances to the nearest rows of ``first``, ascending.

    The distance is the root mean square difference over the cells that either row has; a cell
    that one of them lacks counts as a difference of 1 and its own distance from the mean.
    """
    values = cells.values[first]
    square = (values**2).sum(axis=1)
    kept = min(NEIGHBOURS, len(first))
    found = np.empty((len(second), kept), dtype=np.float32)
    seen = None if cells.seen is None else cells.seen[first]
    total = None if seen is None else seen.sum(axis=1)
    for start in range(0, len(second), 512):
        rows = second[start : start + 512]
        mine = cells.values[rows]
        far = square + (mine**2).sum(axis=1)[:, None] - 2 * mine @ values.T
        if seen is None or total is None or cells.seen is None:
            far /= values.shape[1]
        else:
            both = cells.seen[rows] @ seen.T
            either = total + cells.seen[rows].sum(axis=1)[:, None] - both
            far = (far + either - both) / np.maximum(either, 1)
            far[both < min(MANY_NUMBERS, 0.5 * values.shape[1])] = np.inf
        nearest = np.partition(far, kept - 1, axis=1)[:, :kept] if kept < len(first) else far
        found[start : start + 512] = np.sort(nearest, axis=1)
    # Rounding in single precision leaves up to about 1e-5.
    return np.sqrt(np.maximum(found, 0))


def _some(rows: np.ndarray, most: int, random: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= most else np.sort(random.choice(rows, most, replace=False))


def _affordable(count: int, cells: Standardized) -> int:
    """How many rows can be compared with ``count`` others."""
    width = cells.values.shape[1] * (1 if cells.seen is None else 2)
    return max(200, int(WORK / (count * (width + 250))))


def _cells(evidence: Evidence, rows: np.ndarray, left_out: set[str]) -> Standardized | None:
    """The numbers that the modality has compared, of these rows (ascending)."""
    found = [evidence.modality.near_cells(x) for x in evidence.by_part(rows)]
    parts = [each for each in found if each is not None]
    if not parts:
        return None
    numbers = np.concatenate([each.values for each in parts])
    names, shared = parts[0].names, parts[0].shared
    if not names:
        dense = (~np.isnan(numbers[:1000])).mean() >= DENSE
        return Standardized(*_standardized(numbers, None if dense else shared))
    # Of coarse values, the nearest rows are at no distance, or far.
    fine = [
        i for i, name in enumerate(names)
        if name not in left_out and len(_different(numbers[:, i])) >= CONTINUOUS
    ]  # fmt: skip
    if not fine:
        return None
    values, seen = _standardized(numbers[:, fine])
    steps = [np.median(np.diff(np.unique(each[:5000]))) for each in values.T]
    return Standardized(values, seen, float(np.sqrt(np.mean(np.square(steps)))))


def _different(numbers: np.ndarray) -> np.ndarray:
    return np.unique(numbers[np.isfinite(numbers)][:5000])


def _standardized(
    values: np.ndarray, group: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Values in standard deviations of their column, at most 4; and which are observed.

    The deviation is that of the middle 99 % of the values, so that a typing error does not make
    all others alike. Columns of one ``group`` (a channel with many gaps) share mean and deviation.
    """
    seen = ~np.isnan(values)
    sample = values[:: max(1, len(values) // 5000)]
    codes = np.arange(values.shape[1]) if group is None else group
    center, scale = np.zeros(values.shape[1], "float32"), np.zeros(values.shape[1], "float32")
    for code in np.unique(codes):
        mine = codes == code
        known = sample[:, mine]
        known = known[~np.isnan(known)]
        if len(known):
            low, high = np.percentile(known, [0.5, 99.5])
            kept = known[(known >= low) & (known <= high)]
            center[mine], scale[mine] = kept.mean(), kept.std() or known.std()
    varied = scale > 0
    found = (values[:, varied] - center[varied]) / scale[varied]
    seen = seen[:, varied]
    found = np.clip(np.where(seen, found, 0.0), -4, 4).astype("float32")
    return found, None if seen.all() else seen.astype("float32")
