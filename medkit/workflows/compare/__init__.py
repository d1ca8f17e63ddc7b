"""Finished runs beside each other: one table, curves on one axis, paired tests.

``compare_runs`` returns a ``Comparison``; its ``result``, which ``medkit compare`` prints as JSON::

    {"task": "binary",
     "reference": "<run>",                  # name of the first run's folder
     "metric": "auroc",                     # the one that a summary leads with
     "confidence": 0.95,
     "runs": [{"run": "<run>", "label": "mlp 1a2b", "experiment": "…", "model": "mlp",
               "dataset": "…", "n": 85, "subjects": 85, "positives": 32, "threshold": 0.4,
               "seconds": {"total": 12.3, "fit": 4.5},        # None where not recorded
               "confidence": 0.95,              # of the run's own intervals
               "metrics": {name: {"value", "low", "high", …}}}, …],
     "comparisons": [                       # every other run against the reference
        {"run": "<run>", "reference": "<run>", "paired": True,
         "rows": "…",                       # how the rows were found to be the same
         "metrics": {name: {"difference", "low", "high", "p"[, "p_holm"]}},  # run minus reference
         "delong": {…}, "mcnemar": {…},     # as evaluation.paired.compare_outputs has them
         "notes": [text]},                  # only if there are any
        {"run": "<run>", "reference": "<run>", "paired": False, "note": "why not"}],
     "correction": "…" | None}              # with three runs or more: Holm, beside each p

``only_a`` of McNemar's test counts the rows that the run alone predicts rightly, ``only_b`` those
that the reference alone does.
"""

from medkit.workflows.compare.page import comparison_table, default_page, write_page
from medkit.workflows.compare.pairs import Comparison, compare_runs

__all__ = ["Comparison", "compare_runs", "comparison_table", "default_page", "write_page"]
