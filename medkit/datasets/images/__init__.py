"""Pictures in folders, manifests and arrays."""

from medkit.datasets.images.images import images

__all__ = ["images"]
