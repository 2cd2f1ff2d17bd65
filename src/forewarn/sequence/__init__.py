"""Histories to arrays: the one code path of training, export parity, serving and benchmarks (numpy, no torch)."""

from __future__ import annotations

from forewarn.sequence.batching import TokenBudgetBatches
from forewarn.sequence.config import SequenceConfig
from forewarn.sequence.dataset import RaggedDataset, RaggedWriter
from forewarn.sequence.encoded import INPUT_COLUMNS, EncodedHistory, collate, collate_joined, pad
from forewarn.sequence.featurizer import Embed, Featurizer

__all__ = [
    "INPUT_COLUMNS",
    "Embed",
    "EncodedHistory",
    "Featurizer",
    "RaggedDataset",
    "RaggedWriter",
    "SequenceConfig",
    "TokenBudgetBatches",
    "collate",
    "collate_joined",
    "pad",
]
