"""Configs: what an experiment may say, where it stands in the file, and what goes together."""
