"""Modalities: how a kind of raw input becomes arrays; fitted on training rows only."""
