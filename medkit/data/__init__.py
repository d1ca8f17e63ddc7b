"""Cohorts, the arrays that travel after encoding, and how samples are divided."""
