"""From a data set to labelled, encoded splits on disk: `train.arrow`, `valid.arrow`, `test.arrow` in one folder.

A run that measures nothing writes no `test.arrow`.

Three passes over the history store, none of which holds the data set in memory: summaries and splits; vocabularies,
quantiles and classes from the training split alone; encoding. The result is keyed by everything that decides it, so a
resumed run finds its arrays and a changed configuration never reads stale ones.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from forewarn.model import InputShapes
from forewarn.sequence import Featurizer
from forewarn.targets import TargetSpec
from forewarn.text import CachedEncoder
from training.config import TrainConfig
from training.encode import chunks, write_split
from training.labelled import LabelledSplits, progress
from training.text_export import export_text_encoder, open_text_encoder

FITTED, TEST = ("train", "valid"), ("test",)  # splits of a fit, and the one that only a measurement reads
ENCODED = "encoded"
_SAVED = "prepared.json"


@dataclass(frozen=True)
class Prepared:
    """A prepared folder and what was fitted on its training split."""

    folder: Path
    target: TargetSpec
    featurizer: Featurizer
    text_folder: Path | None  # exported text encoder, None when the model reads no text
    facts: dict[str, Any]  # counts, fingerprint, split sizes: goes into the bundle's manifest

    @classmethod
    def load(cls, folder: Path) -> Prepared:
        """The prepared folder that a training run left behind."""
        saved = json.loads((folder / _SAVED).read_text())
        return cls(
            folder=folder,
            target=TargetSpec.from_yaml(saved["target"]),
            featurizer=Featurizer.from_dict(saved["featurizer"]),
            text_folder=Path(saved["text_folder"]) if saved["text_folder"] else None,
            facts=saved["facts"],
        )

    @property
    def input_shapes(self) -> InputShapes:
        """What the fitted featurizer feeds a network."""
        return InputShapes(self.featurizer.cardinalities, len(self.featurizer.quantiles), self.featurizer.text_width)

    def split(self, name: str) -> Path:
        """The dataset file of a split."""
        return self.folder / f"{name}.arrow"


def prepare(config: TrainConfig, target: TargetSpec, folder: Path) -> Prepared:
    """Builds (or finds again) the encoded splits of a run below `folder`."""
    splits = LabelledSplits.open(config.data, target, config.protocol, folder / "histories")
    key = _key(config, target, splits.store.fingerprint)
    built = folder / ENCODED
    embed = open_text_encoder(config.text) if config.data.inputs.text else None
    if not (built / _SAVED).is_file() or json.loads((built / _SAVED).read_text())["key"] != key:
        shutil.rmtree(built, ignore_errors=True)
        building = folder / ".encoded.building"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        _build(config, splits, embed, key, building)
        building.rename(built)
    return Prepared.load(built)


def _build(config: TrainConfig, splits: LabelledSplits, embed: CachedEncoder | None, key: str, folder: Path) -> None:
    target = splits.target.with_classes(splits.histories("train"))
    splits = LabelledSplits(splits.store, target, splits.protocol, splits.assignment)
    featurizer = Featurizer.fit(
        progress(splits.visible("train"), "fit featurizer"),
        config.data.inputs,
        config.sequence,
        exclude=target.hidden_inputs(),
        text_width=embed.dim if embed is not None else 0,
    )
    names = wanted(config)
    if featurizer.text_width and embed is not None:
        _embed_all(splits, names, embed)
    counts: dict[str, dict[str, int]] = {}
    for split in names:
        counts[split] = write_split(splits.labelled(split), featurizer, embed, folder / f"{split}.arrow", split)
    facts = {
        "fingerprint": splits.store.fingerprint,
        "by": splits.store.by,
        "counts": splits.store.counts,
        "splits": counts,
        "protocol": asdict(splits.protocol),
        "cut": splits.assignment.cut.isoformat() if splits.assignment.cut is not None else None,
        "assignment": splits.assignment.counts,
        "target": target.name,
        "target_hash": target.hash,
    }
    text_folder = export_text_encoder(config.text) if featurizer.text_width else None
    saved = {
        "key": key,
        "target": target.to_yaml(),
        "featurizer": featurizer.to_dict(),
        "text_folder": text_folder.absolute().as_posix() if text_folder is not None else None,
        "facts": facts,
    }
    (folder / _SAVED).write_text(json.dumps(saved))


def wanted(config: TrainConfig) -> tuple[str, ...]:
    """The splits that a run reads."""
    return FITTED + TEST if config.measure else FITTED


def _embed_all(splits: LabelledSplits, names: tuple[str, ...], embed: CachedEncoder) -> None:
    """Encodes every distinct text once, under one progress bar, before the arrays are written."""
    texts = dict.fromkeys(
        event.text for split in names for history in splits.visible(split) for event in history.events if event.text
    )
    for chunk in chunks(texts, 100_000):
        embed.encode(chunk, progress=sys.stderr.isatty())


def _key(config: TrainConfig, target: TargetSpec, fingerprint: str) -> str:
    deciding = {
        "events": fingerprint,
        "read": wanted(config),
        "splits": config.data.splits,
        "inputs": asdict(config.data.inputs),
        "target": target.hash,
        "protocol": asdict(config.protocol),
        "sequence": asdict(config.sequence),
        "text": [config.text.source, config.text.model, config.text.max_tokens, config.text.precision],
    }
    return hashlib.sha256(json.dumps(deciding, sort_keys=True, default=str).encode()).hexdigest()
