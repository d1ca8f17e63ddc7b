"""One row a sample, in a file or a database."""

from medkit.datasets.table.table import table

__all__ = ["table"]
