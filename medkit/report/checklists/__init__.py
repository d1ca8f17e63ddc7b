"""Reporting guidelines, filled from what a run holds."""
