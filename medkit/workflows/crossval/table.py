"""The spread between folds, as the terminal shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from medkit.evaluation import readable
from medkit.evaluation.methods import baseline_name


def spread_table(content: Mapping[str, Any]) -> Table:
    """Mean, standard deviation, smallest and largest value of each metric, beside the baselines.

    Args:
        content: The content of ``crossval.json``.
    """
    scheme, baselines = content["scheme"], content["baselines"]
    repeats = "1 repeat" if scheme["repeats"] == 1 else f"{scheme['repeats']} repeats"
    title = f"{scheme['kind']}: {scheme['folds']} folds, {repeats}"
    names = map(baseline_name, baselines)
    table = Table("metric", "mean", "SD", "min", "max", *names, title=title,
                  caption="\n".join(scheme["notes"][2:]))  # fmt: skip
    for metric, found in content["summary"].items():
        cells = [readable(found[key]) for key in ("mean", "sd", "min", "max")]
        theirs = [each["summary"].get(metric, {"mean": None}) for each in baselines.values()]
        table.add_row(
            content["labels"][metric], *cells, *(readable(each["mean"]) for each in theirs)
        )
    return table
