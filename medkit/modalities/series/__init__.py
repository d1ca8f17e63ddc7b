"""Time series: measured variables on a regular grid of time steps."""

from medkit.modalities.series.series import Series

__all__ = ["Series"]
