"""What a model is worth: metrics with intervals, subgroups, and baselines on the same split."""

from medkit.evaluation.evaluate import (
    assess_part,
    evaluate_part,
    evaluate_run,
    headline,
)
from medkit.evaluation.groups.subgroups import check_subgroups, subgroup_metrics
from medkit.evaluation.rows import EvaluatedRows
from medkit.evaluation.wording import readable

__all__ = [
    "EvaluatedRows", "assess_part", "check_subgroups", "evaluate_part", "evaluate_run",
    "headline", "readable", "subgroup_metrics",
]  # fmt: skip
