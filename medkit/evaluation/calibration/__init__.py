"""Whether predicted risks and values are those observed; recalibration."""
