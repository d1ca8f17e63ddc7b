"""The leakage gate: does a part of the data know what it must not?

``audit`` looks at the encoded parts before anything is trained and returns its findings;
``gate`` applies the config's waivers and stops the run if a failing finding is left. What a run
keeps (``metrics["leakage"]``, and what ``medkit audit`` prints) is ``summary(findings)``: the names
of the checks, each ``Finding``, and notes on what was looked at in part.

A name may occur more than once (one finding a column or pair of parts); a waiver of that name
covers them all. No finding tells a value or an identifier: counts and column names only.
"""

from medkit.leakage.audit import audit
from medkit.leakage.findings import CHECKS, Finding, Findings, gate, summary, waive

__all__ = ["CHECKS", "Finding", "Findings", "audit", "gate", "summary", "waive"]
