"""Datasets: each file turns one kind of source into a Cohort. Nothing is learned here."""
