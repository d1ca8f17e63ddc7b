"""What a network's answers rest on: globally for the report, locally for one sample.

Global (``explanations``, the content of ``metrics["explanations"]``)::

    {"importance": {
        "metric": "auroc",        # the metric that a summary leads with
        "value": 0.97,            # its value on those rows, nothing permuted; None if undefined
        "rows": 86,               # test rows used
        "repeats": 5,             # permutations of each feature
        "resamples": 200,         # resamples of subjects behind low and high; 0: no interval
        "confidence": 0.95,
        "method": "permutation",  # or "erasure" (token types)
        "features": [             # the most important first
            {"name": "lactate", "unit": "mmol/L" | None,
             "mean": 0.12,        # how much worse the metric gets: positive means it is used
             "sd": 0.01,          # between the permutations; None for one
             "low": 0.08, "high": 0.16}, ...],   # by resampling subjects; None without
        "note": "..."},           # where something was left out; absent otherwise
     "dependence": [              # tables only, the most important features first; else []
        {"feature": "age", "unit": "years" | None, "kind": "numeric" | "categorical",
         "output": "1" | None,    # class, label or output; None where there is only one value
         "grid": [31.0, 42.5, ...],   # numbers, or names of categories
         "partial": [0.11, 0.13, ...],    # mean output with the feature set to grid[i]
         "ale": [-0.02, 0.0, ...] | None,     # accumulated local effects, mean 0
         "note": "..."}, ...],    # why something is missing; absent otherwise
     "note": "..."}               # why there is no dependence; absent otherwise

Local (``medkit explain``): integrated gradients, occlusion, Grad-CAM, attention weights, and
Shapley values by the optional package ``shap``; see ``local``.
"""

from medkit.explanation.overview import explanations
from medkit.explanation.partial_dependence import (
    accumulated_local_effects,
    dependence,
    partial_dependence,
)
from medkit.explanation.permutation import permutation_importance

__all__ = [
    "accumulated_local_effects", "dependence", "explanations", "partial_dependence",
    "permutation_importance",
]  # fmt: skip
