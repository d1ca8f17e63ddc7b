"""Whole pages, each with its template beside it."""
