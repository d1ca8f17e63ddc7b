"""Run directories: written, sealed, opened and checked."""
