"""Courses: errors by variable and horizon, and their baselines."""
