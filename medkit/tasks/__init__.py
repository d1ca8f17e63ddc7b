"""Tasks: what is predicted; targets, head, loss, and the metrics to watch and to report."""
