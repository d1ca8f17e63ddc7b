"""Conformal sets, abstention, spread of ensembles."""
