"""Tables: numeric and categorical columns."""

from medkit.modalities.tabular.tabular import Tabular

__all__ = ["Tabular"]
