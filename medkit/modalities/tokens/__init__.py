"""Token sequences: DNA, proteins, clinical text."""

from medkit.modalities.tokens.tokens import Tokens

__all__ = ["Tokens"]
