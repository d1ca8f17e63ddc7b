"""Metrics from targets and outputs, for any weights of the rows."""
