"""Triplets: the events of each sample as they are, (time, variable, value), and no grid."""

from medkit.modalities.triplets.triplets import Triplets

__all__ = ["Triplets"]
