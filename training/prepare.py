"""From a data set to labelled, encoded splits on disk: `train.arrow`, `valid.arrow`, `test.arrow` in one folder.

A run that measures nothing writes no `test.arrow`.

Three passes over the history store, none of which holds the data set in memory: summaries and splits; vocabularies,
quantiles and classes from the training split alone; encoding. The result is keyed by everything that decides it, so a
resumed run finds its arrays and a changed configuration never reads stale ones.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from forewarn.bundle import Bundle
from forewarn.events import CORE_FIELDS
from forewarn.model import InputShapes
from forewarn.sequence import Featurizer, RaggedDataset, RaggedWriter
from forewarn.targets import HazardTask, TargetSpec
from forewarn.text import Encoder, WordCounts
from training.config import TrainConfig
from training.encode import chunks, write_split
from training.labelled import LabelledSplits, progress
from training.pretrained import check_featurizer
from training.silences import PER_EVENT
from training.soft_labels import add_soft_labels
from training.teacher import check_teacher, open_teacher
from training.text_export import export_text_encoder, open_text_encoder

log = logging.getLogger(__name__)
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
        """The prepared folder that a training run left behind; ValueError where there is none."""
        if not (folder / _SAVED).is_file():
            raise ValueError(f"run: found no {folder / _SAVED}, expected the folder of a training run; correct run=")
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
        fitted = self.featurizer
        words = len(fitted.words) if fitted.words is not None else 0
        return InputShapes(fitted.cardinalities, len(fitted.quantiles), fitted.text_width, words)

    def split(self, name: str) -> Path:
        """The dataset file of a split."""
        return self.folder / f"{name}.arrow"

    def learning_from(self, rows: Iterable[tuple[str, dict[str, NDArray[Any]]]], folder: Path) -> Prepared:
        """The same data in a folder of its own, with these rows in the place of the training split's."""
        folder.mkdir(parents=True, exist_ok=True)
        with RaggedWriter(folder / "train.arrow") as writer:
            for row in rows:
                writer.add(*row)
        (folder / "valid.arrow").unlink(missing_ok=True)
        (folder / "valid.arrow").symlink_to(self.split("valid").absolute())
        return replace(self, folder=folder)

    def learning_from_all(self, folder: Path) -> Prepared:
        """The same data in a folder of its own, with the validation histories among the training ones."""
        learnt = (RaggedDataset(self.split(name)) for name in FITTED)
        return self.learning_from((rows[i] for rows in learnt for i in range(len(rows))), folder)


def data_folder(config: TrainConfig) -> Path:
    """The folder of a run's histories and encoded splits."""
    return Path(config.data_folder) if config.data_folder else Path(config.run) / "data"


def prepare(config: TrainConfig, target: TargetSpec, folder: Path, embed: Encoder | None = None) -> Prepared:
    """Builds (or finds again) the encoded splits of a run below `folder`; `embed` replaces the configured encoder."""
    if config.model.ageing and not any(isinstance(task, HazardTask) for task in target.tasks):
        raise ValueError(
            f"model.ageing: found true, but target {target.name} has no hazard task, expected one whose risk moves "
            "with silence; use model.ageing=false, or another target"
        )
    teacher = open_teacher(config)
    splits = LabelledSplits.open(config.data, target, config.protocol, folder / "histories")
    if embed is None and config.data.inputs.text:
        embed = open_text_encoder(config.text)
    key = _key(config, splits, embed, teacher)
    built = folder / ENCODED
    if not (built / _SAVED).is_file() or json.loads((built / _SAVED).read_text())["key"] != key:
        shutil.rmtree(built, ignore_errors=True)
        building = folder / ".encoded.building"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        _build(config, splits, embed, teacher, key, building)
        building.rename(built)
    return Prepared.load(built)


def _build(
    config: TrainConfig, splits: LabelledSplits, embed: Encoder | None, teacher: Bundle | None, key: str, folder: Path
) -> None:
    target = splits.target.with_classes(splits.units("train"))
    splits = replace(splits, target=target)
    # What names a history says nothing of another one.
    exclude = target.hidden_inputs() | ({config.data.by} - set(CORE_FIELDS))
    if teacher is not None:
        check_teacher(teacher, splits, config.distillation.teacher or "")
    earlier = _earlier(config, teacher)
    if earlier is not None:
        check_featurizer(earlier, exclude, config.pretrained or config.distillation.teacher or "")
    text = config.text
    learns_words = text.source == "learned" and earlier is None
    words = WordCounts(text.max_words, text.max_vocabulary, text.min_count) if learns_words else None
    featurizer = earlier or Featurizer.fit(
        progress(splits.visible("train"), "fit featurizer"),
        config.data.inputs,
        config.sequence,
        exclude=exclude,
        text_width=embed.dim if embed is not None else 0,
        words=words,
    )
    names = wanted(config)
    if featurizer.text_width and embed is not None:
        _embed_all(splits, names, embed)
    counts: dict[str, dict[str, int]] = {}
    for split in names:
        labelled = splits.labelled(split, silences=config.model.ageing and split in FITTED)
        counts[split] = write_split(labelled, featurizer, embed, folder / f"{split}.arrow", split)
    if teacher is not None:
        for split in FITTED:
            add_soft_labels(folder / f"{split}.arrow", teacher)
    facts = {
        "fingerprint": splits.store.fingerprint,
        "by": splits.store.by,
        "counts": splits.store.counts,
        "splits": counts,
        "protocol": asdict(splits.protocol),
        "cut": splits.assignment.cut.isoformat() if splits.assignment.cut is not None else None,
        "assignment": splits.assignment.counts,
        "unseen_customers": len(splits.assignment.unseen),  # test histories whose customer neither trains nor validates
        "target": target.name,
        "target_hash": target.hash,
    }
    if teacher is not None:
        facts["teacher"] = teacher.model_hash
    if words is not None and featurizer.words is not None:
        facts["words"] = words.facts()
        log.info(
            "learned text: %(vocabulary)d words known; of %(texts)d training texts %(cut)d are longer than "
            "text.max_words and cut, and a share of %(unknown)g of their words is unknown",
            facts["words"],
        )
    text_folder = export_text_encoder(config.text) if featurizer.text_width else None
    saved = {
        "key": key,
        "target": target.to_yaml(),
        "featurizer": featurizer.to_dict(),
        "text_folder": text_folder.absolute().as_posix() if text_folder is not None else None,
        "facts": facts,
    }
    (folder / _SAVED).write_text(json.dumps(saved))


def _earlier(config: TrainConfig, teacher: Bundle | None) -> Featurizer | None:
    """The featurizer of the run to start from or to learn from; ValueError where these are two."""
    if not config.pretrained:
        return teacher.featurizer if teacher is not None else None
    earlier = Prepared.load(Path(config.pretrained) / "data" / ENCODED).featurizer
    if teacher is not None and teacher.featurizer.to_dict() != earlier.to_dict():
        raise ValueError(
            f"distillation.teacher: found other vocabularies in {config.distillation.teacher} than in pretrained "
            f"{config.pretrained}, expected the same; train the teacher with pretrained={config.pretrained}, or leave "
            "pretrained out"
        )
    return earlier


def wanted(config: TrainConfig) -> tuple[str, ...]:
    """The splits that a run reads."""
    return FITTED + TEST if config.measure else FITTED


def _embed_all(splits: LabelledSplits, names: tuple[str, ...], embed: Encoder) -> None:
    """Encodes every distinct text once, under one progress bar, before the arrays are written."""
    texts = dict.fromkeys(
        event.text for split in names for history in splits.visible(split) for event in history.events if event.text
    )
    for chunk in chunks(texts, 100_000):
        embed.encode(chunk, progress=sys.stderr.isatty())


def _key(config: TrainConfig, splits: LabelledSplits, embed: Encoder | None, teacher: Bundle | None) -> str:
    """SHA-256 of everything that decides the encoded splits: contents, never the names of files that hold them."""
    assignment = splits.assignment
    deciding = {
        "arrays": 3,  # version of the columns that `write_split` writes
        "events": splits.store.fingerprint,
        "read": wanted(config),
        "splits": [sorted(assignment.split.items()), assignment.cut, assignment.learn_until],
        "inputs": asdict(config.data.inputs),
        "target": splits.target.hash,
        "protocol": asdict(config.protocol),
        "sequence": asdict(config.sequence),
        "pretrained": earlier.to_dict() if (earlier := _earlier(config, teacher)) is not None else None,
        "text": config.text.deciding(),
        "encoder": embed.hash if embed is not None else None,
    }
    if config.model.ageing:
        deciding["silences"] = PER_EVENT
    if teacher is not None:
        deciding["teacher"] = teacher.model_hash
    return hashlib.sha256(json.dumps(deciding, sort_keys=True, default=str).encode()).hexdigest()
