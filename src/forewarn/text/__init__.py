"""Texts to vectors through one pre-trained encoder, every distinct text once; or to word ids for a learned one.

Nothing here imports torch.
"""

from __future__ import annotations

from forewarn.text.cache import VectorCache
from forewarn.text.cached import CachedEncoder
from forewarn.text.config import TextConfig
from forewarn.text.encoder import Encoder, TextEncoder
from forewarn.text.normalise import normalise_text
from forewarn.text.words import WordCounts, WordVocabulary, split_words

__all__ = [
    "CachedEncoder",
    "Encoder",
    "TextConfig",
    "TextEncoder",
    "VectorCache",
    "WordCounts",
    "WordVocabulary",
    "normalise_text",
    "split_words",
]
