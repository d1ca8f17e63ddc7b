"""The leakage gate: does a part of the data know what it must not?

``audit`` looks at the encoded parts before anything is trained and returns its findings;
``gate`` applies the config's waivers and stops the run if a failing finding is left. What a run
keeps (``metrics["leakage"]``, and what ``medkit audit`` prints) is ``summary(findings)``::

    {
      "checked": ["subject_overlap", "trained_before", "duplicates", "near_duplicates",
                  "predictive_feature", "copied_target", "identifier", "after_prediction_time",
                  "informative_missingness", "same_period"],
      "findings": [
        {
          "name": "duplicates",         # the word to write under leakage.allow
          "severity": "fail",           # or "warn"
          "what": "12 of 114 test rows are identical to a train row",
          "where": "train and test",    # parts, or the names of columns or features
          "count": 12,                  # rows, subjects or columns, as ``what`` says
          "why": "why it matters", "remedy": "what to do",
          "waived": "the reason given in the config"    # or None
        }
      ],
      "notes": ["20000 of 100000 rows were looked at"]
    }

A name may occur more than once (one finding a column or pair of parts); a waiver of that name
covers them all. No finding tells a value or an identifier: counts and column names only.
"""

from medkit.leakage.audit import audit
from medkit.leakage.findings import CHECKS, Finding, Findings, gate, summary, waive

__all__ = ["CHECKS", "Finding", "Findings", "audit", "gate", "summary", "waive"]
