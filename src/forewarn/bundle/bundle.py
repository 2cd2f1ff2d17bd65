"""Sealing and reading a bundle folder; nothing is read from a file whose hash is not the manifest's.

manifest.json  sequence.onnx [sequence.fp16.onnx]  featurizer.json  target.yaml  calibration.json
metrics.json  MODEL_CARD.md  [text/text.onnx text/tokenizer.json text/text.json]
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from forewarn.bundle.manifest import MANIFEST, SCHEMA_VERSION, Manifest, file_hash, hash_files, model_hash
from forewarn.sequence import Featurizer
from forewarn.targets import TargetSpec

FEATURIZER, TARGET, TEXT_FOLDER = "featurizer.json", "target.yaml", "text"


class Bundle:
    """A loaded bundle: `manifest`, `featurizer`, `target` and the paths of its graphs."""

    def __init__(self, path: Path, manifest: Manifest, featurizer: Featurizer, target: TargetSpec) -> None:
        self.path, self.manifest, self.featurizer, self.target = path, manifest, featurizer, target

    @property
    def model_hash(self) -> str:
        """Hash over all that can change a score or what it is called."""
        return self.manifest.model_hash

    @property
    def schema_version(self) -> str:
        """Version of the contract between bundle and reader."""
        return self.manifest.schema_version

    @property
    def text_folder(self) -> Path | None:
        """The pre-trained text encoder; None where the model reads no text or has learned its own."""
        own = any(name.startswith(f"{TEXT_FOLDER}/") for name in self.manifest.files)
        return self.path / TEXT_FOLDER if own else None

    def graph(self, precision: str) -> Path:
        """The sequence graph of a precision; ValueError when the bundle was exported without it."""
        if precision not in self.manifest.graphs:
            raise ValueError(
                f"precision: found {precision!r}, expected one of {sorted(self.manifest.graphs)} in {self.path}; "
                f"export it with python -m training.export run=… precisions=[fp32,{precision}]"
            )
        return self.path / self.manifest.graphs[precision]

    @classmethod
    def load(cls, path: str | Path) -> Bundle:
        """Reads and checks a bundle; ValueError names a file that is missing, changed, added or too old."""
        folder = Path(path)
        if not (folder / MANIFEST).is_file():
            raise ValueError(
                f"bundle: found no {MANIFEST} in {folder}, expected a bundle folder; "
                "write one with python -m training.train or training.export"
            )
        try:
            manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        except msgspec.DecodeError as error:
            raise ValueError(f"{folder / MANIFEST}: {error}; export the bundle again") from error
        if manifest.schema_version != SCHEMA_VERSION:
            raise ValueError(
                f"{MANIFEST}: schema_version: found {manifest.schema_version!r}, expected {SCHEMA_VERSION!r}; "
                "export the bundle again with this version of forewarn"
            )
        _check_files(folder, manifest)
        featurizer = Featurizer.from_dict(json.loads((folder / FEATURIZER).read_text()))
        return cls(folder, manifest, featurizer, TargetSpec.load(folder / TARGET))


def _check_files(folder: Path, manifest: Manifest) -> None:
    for name, digest in manifest.files.items():
        if not (folder / name).is_file():
            raise ValueError(
                f"{name}: missing from bundle {folder}, expected it by its manifest; export the bundle again"
            )
        if (found := file_hash(folder / name)) != digest:
            raise ValueError(
                f"{name}: found sha256 {found[:12]}…, expected {digest[:12]}… by the manifest of {folder}; "
                "the file was changed or mixed in from another bundle: export the bundle again"
            )
    if added := hash_files(folder).keys() - manifest.files.keys():
        raise ValueError(f"{min(added)}: found in bundle {folder}, but its manifest does not list it; remove the file")
    if strange := set(manifest.graphs.values()) - manifest.files.keys():
        raise ValueError(
            f"{MANIFEST}: graphs: found {min(strange)!r}, expected files that it lists; export the bundle again"
        )
    if model_hash(manifest.files, msgspec.structs.asdict(manifest)) != manifest.model_hash:
        raise ValueError(
            f"{MANIFEST}: model_hash is not that of its files, tasks, graphs and text in {folder}; "
            "it was changed: export the bundle again"
        )


def seal(folder: Path, **facts: Any) -> Manifest:
    """Writes the manifest of a finished folder from its files and the given facts; nothing may change afterwards."""
    files = hash_files(folder)
    facts["schema_version"] = SCHEMA_VERSION
    manifest = Manifest(model_hash=model_hash(files, facts), files=files, **facts)
    encoded = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (folder / MANIFEST).write_bytes(encoded + b"\n")
    return manifest
