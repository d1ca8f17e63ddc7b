"""What a model is worth: metrics with intervals, subgroups, and baselines on the same split."""

from medkit.evaluation.evaluate import Part, evaluate, evaluate_part, headline, subgroups
from medkit.evaluation.intervals import resampled_scores

__all__ = ["Part", "evaluate", "evaluate_part", "headline", "resampled_scores", "subgroups"]
