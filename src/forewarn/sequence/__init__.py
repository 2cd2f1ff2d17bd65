"""Histories to arrays: the one code path of training, export parity, serving and benchmarks (numpy, no torch)."""

from __future__ import annotations

from forewarn.sequence.aggregates import aggregate_width, latest, token_columns
from forewarn.sequence.batching import TokenBudgetBatches
from forewarn.sequence.config import SequenceConfig
from forewarn.sequence.dataset import RaggedDataset, RaggedWriter
from forewarn.sequence.encoded import AGGREGATES, INPUT_COLUMNS, SILENCE, EncodedHistory, collate, collate_joined, pad
from forewarn.sequence.featurizer import Embed, Featurizer
from forewarn.sequence.windowing import context_length, windows

__all__ = [
    "AGGREGATES",
    "INPUT_COLUMNS",
    "SILENCE",
    "Embed",
    "EncodedHistory",
    "Featurizer",
    "RaggedDataset",
    "RaggedWriter",
    "SequenceConfig",
    "TokenBudgetBatches",
    "aggregate_width",
    "collate",
    "collate_joined",
    "context_length",
    "latest",
    "pad",
    "token_columns",
    "windows",
]
