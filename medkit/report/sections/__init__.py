"""Sections of a page, each with its template beside it."""
