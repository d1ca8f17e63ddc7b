"""Images and volumes."""

from medkit.modalities.image.image import Image

__all__ = ["Image"]
