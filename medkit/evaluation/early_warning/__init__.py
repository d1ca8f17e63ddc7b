"""Hourly predictions scored by stay."""
