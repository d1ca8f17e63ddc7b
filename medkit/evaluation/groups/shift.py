"""How far two populations differ, from their Table 1 alone: no patient's row is needed.

``standardised_differences`` returns one entry per row of Table 1 that both have::

    [{"name": "age", "role": "input", "kind": "numeric", "value": 0.42},
     {"name": "cp", "role": "input", "kind": "categorical", "value": 0.31},
     {"name": "chol", …, "value": None, "not_estimable": "fewer than 10 subjects"}]

``unit_warnings`` returns ``[{"name": "chol", "text": "…"}]``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from medkit.data.cohort import Feature

_FAR = 5.0  # standard deviations of training between two means
_GONE = 0.5  # share of values missing beyond those missing in training
_SUPPRESSED = "(suppressed)"


def standardised_differences(
    table: Mapping[str, Any], reference: str, other: str
) -> list[dict[str, Any]]:
    """Standardised difference of every row of Table 1 between two of its parts.

    Numbers: (mean of other - mean of reference) / sqrt((s² + s²) / 2), signed (Austin, Balance
    diagnostics for comparing the distribution of baseline covariates, Stat. Med. 28, 2009).
    Categories: the Mahalanobis distance of the two vectors of proportions, not signed; of two
    categories |p - q| / sqrt((p(1 - p) + q(1 - q)) / 2) (Yang and Dalton, A unified approach to
    measuring the effect size between two groups, SAS Global Forum 2012, paper 335). Above 0.1
    counts as a difference. Suppressed categories are taken together.

    Args:
        table: What ``table_one`` returns.
        reference: Part that is compared with: the development data.
        other: The part that is compared.
    """
    found = []
    for row in table["rows"]:
        pair = [row["parts"].get(name) for name in (reference, other)]
        entry = {key: row[key] for key in ("name", "role", "kind")}
        found.append({**entry, **_difference(row["kind"], *pair)})
    return found


def _difference(kind: str, a: Any, b: Any) -> dict[str, Any]:
    if a is None or b is None:
        return _none("not in both data sets")
    for each in (a, b):
        if "suppressed" in each:
            return _none(each["suppressed"])
        if each["n"] == 0:
            return _none("no values")
    if kind == "numeric":
        return of_means((a["mean"], a["sd"]), (b["mean"], b["sd"]))
    hidden = {name for each in (a, b) for name, n in each["counts"].items() if n is None}
    shares = [_shares(each, hidden) for each in (a, b)]
    names = sorted(shares[0].keys() | shares[1].keys())
    p, q = (np.array([each.get(name, 0.0) for name in names]) for each in shares)
    return of_proportions(p, q)


def _none(reason: str) -> dict[str, Any]:
    return {"value": None, "not_estimable": reason}


def _shares(described: Mapping[str, Any], hidden: set[str]) -> dict[str, float]:
    n = described["n"]
    shown = {name: k / n for name, k in described["counts"].items() if name not in hidden}
    if hidden:
        shown[_SUPPRESSED] = max(0.0, 1 - sum(shown.values()))
    return shown


def of_means(
    a: tuple[float | None, float | None], b: tuple[float | None, float | None]
) -> dict[str, Any]:
    """Signed standardised difference (b - a) of two (mean, standard deviation)."""
    if a[0] is None or b[0] is None or a[1] is None or b[1] is None:
        return _none("no standard deviation: fewer than two values")
    pooled = math.sqrt((a[1] ** 2 + b[1] ** 2) / 2)
    if pooled == 0:
        return {"value": 0.0} if a[0] == b[0] else _none("no spread in either data set")
    return {"value": (b[0] - a[0]) / pooled}


def of_proportions(p: np.ndarray, q: np.ndarray) -> dict[str, Any]:
    """Standardised difference of two (categories,) vectors of proportions, 0 or more."""
    if len(p) < 2 or np.array_equal(p, q):
        return {"value": 0.0}
    p, q = p[1:], q[1:]  # the proportions sum to 1: one is redundant
    covariance = -(np.outer(p, p) + np.outer(q, q)) / 2
    np.fill_diagonal(covariance, (p * (1 - p) + q * (1 - q)) / 2)
    gap = q - p
    solved, _, rank, _ = np.linalg.lstsq(covariance, gap, rcond=1e-10)
    if rank == 0 or not np.allclose(covariance @ solved, gap, atol=1e-9):
        return _none("no category in common")
    return {"value": math.sqrt(max(0.0, float(gap @ solved)))}


def unit_warnings(
    table: Mapping[str, Any], reference: str, other: str, features: Iterable[Feature]
) -> list[dict[str, str]]:
    """Numeric inputs that look as if they were given in another unit, or not measured.

    Named are those whose mean lies outside their plausible range or more than five standard
    deviations of the reference from its mean, and those that are missing in more than half of the
    samples beyond what was missing there: values outside a range are emptied on reading.

    Args:
        table: What ``table_one`` returns.
        reference: Part that is compared with.
        other: The part that is checked.
        features: The inputs with their units and plausible ranges.
    """
    named = {feature.name: feature for feature in features}
    found = []
    for row in table["rows"]:
        a, b = (row["parts"].get(name, {}) for name in (reference, other))
        if row["kind"] == "numeric" and row["role"] == "input":
            reason = _suspicion(a, b, named.get(row["name"]), row["unit"])
            if reason:
                found.append({"name": row["name"], "text": reason})
    return found


def _suspicion(
    a: Mapping[str, Any], b: Mapping[str, Any], feature: Feature | None, unit: str | None
) -> str:
    written = f" {unit}" if unit else ""
    mean, before, spread = b.get("mean"), a.get("mean"), a.get("sd")
    if mean is not None and feature is not None:
        low = -math.inf if feature.low is None else feature.low
        high = math.inf if feature.high is None else feature.high
        if not low <= mean <= high:
            return (
                f"mean {mean:.4g} lies outside the plausible range {low:g} to {high:g}{written}: "
                "possibly in another unit"
            )
    if mean is not None and before is not None and spread:
        away = abs(mean - before) / spread
        if away > _FAR:
            return (
                f"mean {mean:.4g} against {before:.4g}{written} in development, {away:.1f} standard"
                " deviations away: possibly in another unit"
            )
    lost = _missing_share(b) - _missing_share(a)
    if lost > _GONE:
        return (
            f"missing in {_missing_share(b):.0%} of the samples against {_missing_share(a):.0%} in "
            "development: not measured there, or in another unit and so outside its range"
        )
    return ""


def _missing_share(described: Mapping[str, Any]) -> float:
    total = described.get("n", 0) + described.get("missing", 0)
    return described.get("missing", 0) / total if total else 0.0
