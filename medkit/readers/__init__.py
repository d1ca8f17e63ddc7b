"""Files and databases to frames; they know of no cohort."""
