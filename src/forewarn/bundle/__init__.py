"""A trained model as one self-contained, checked folder, and the ONNX Runtime scorer that reads it (no torch)."""

from __future__ import annotations

from forewarn.bundle.bundle import Bundle, seal
from forewarn.bundle.manifest import SCHEMA_VERSION, Manifest, TaskOutputs, TextFacts
from forewarn.bundle.scorer import Scorer
from forewarn.bundle.session import nodes_by_provider, open_session

__all__ = [
    "SCHEMA_VERSION",
    "Bundle",
    "Manifest",
    "Scorer",
    "TaskOutputs",
    "TextFacts",
    "nodes_by_provider",
    "open_session",
    "seal",
]
