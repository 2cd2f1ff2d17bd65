"""Texts to vectors: one encoder interface, ONNX Runtime behind it, every distinct text encoded once.

Nothing here imports torch.
"""

from __future__ import annotations

from forewarn.text.cache import VectorCache
from forewarn.text.cached import CachedEncoder
from forewarn.text.config import TextConfig
from forewarn.text.encoder import Encoder, TextEncoder
from forewarn.text.normalise import normalise_text

__all__ = ["CachedEncoder", "Encoder", "TextConfig", "TextEncoder", "VectorCache", "normalise_text"]
