"""Subgroups, fairness, case mix and shift."""
