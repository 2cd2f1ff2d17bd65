"""The manifest: what is in a bundle, where it came from, and the hash of every file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

# Version of what a bundle promises its readers: the files, the graph's inputs and outputs, the event fields.
SCHEMA_VERSION = "1"
MANIFEST, METRICS, MODEL_CARD = "manifest.json", "metrics.json", "MODEL_CARD.md"
# Files that explain a model without changing a score; they are checked, but do not count towards the model's hash.
_EXPLANATORY = (METRICS, MODEL_CARD)
# Fields of the manifest itself that say which graph runs and what its outputs are called.
_DECIDING = ("schema_version", "tasks", "graphs", "text")


class TaskOutputs(msgspec.Struct, frozen=True):
    """One task as the graph gives it: `outputs` names the horizons, the classes or the unit of its last axis."""

    name: str
    kind: str
    outputs: list[str]
    transform: str = "none"  # regression only: how the user's value was transformed before it was learned
    class_weights: list[float] = []  # classification only: the balanced choice is the largest of probability x weight
    scorer: str = "transformer"  # what scores it: transformer, gru, or hybrid for trees behind the network


class TextFacts(msgspec.Struct, frozen=True):
    """The text encoder of a model: pre-trained and in the bundle's text folder, or learned with the network."""

    source: str  # hub id or folder name of a pre-trained one; "learned" for one that is part of the sequence graph
    width: int
    max_tokens: int  # per text, longer ones are cut; words of a learned one
    vocabulary: int | None = None  # words that a learned one knows


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a reader may ask of a bundle without opening its graphs."""

    schema_version: str
    model_hash: str
    created: str  # ISO 8601, UTC
    git_commit: str
    versions: dict[str, str]
    tasks: list[TaskOutputs]
    graphs: dict[str, str]  # precision -> file name
    text: TextFacts | None
    model: dict[str, Any]  # the network's configuration
    data: dict[str, Any]  # name, fingerprint and counts of the training data, split and protocol
    parity: dict[str, float]  # largest difference between torch and ONNX Runtime per graph
    metrics: dict[str, dict[str, dict[str, float | None]]]  # model -> task -> headline figures on the test split
    files: dict[str, str]  # name -> sha256


def file_hash(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a bundle folder, by name relative to it, the manifest itself left out."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): file_hash(path) for path in files}


def model_hash(files: dict[str, str], facts: Mapping[str, Any]) -> str:
    """One hash for all that can change a score or its name: files, and the `_DECIDING` facts of the manifest."""
    lines = [f"{name} {digest}\n" for name, digest in sorted(files.items()) if name not in _EXPLANATORY]
    decided = msgspec.json.encode({name: facts[name] for name in _DECIDING}, order="deterministic")
    return hashlib.sha256("".join(lines).encode() + decided).hexdigest()
