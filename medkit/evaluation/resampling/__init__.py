"""Intervals: bootstrap by subject, DeLong, paired differences."""
