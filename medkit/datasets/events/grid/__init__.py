"""Events on a regular grid of time: one row a sample, one column a variable."""
