"""From a data set to labelled, encoded splits on disk: `train.arrow`, `valid.arrow`, `test.arrow` in one folder.

Three passes over the history store, none of which holds the data set in memory: summaries and splits; vocabularies,
quantiles and classes from the training split alone; encoding. The result is keyed by everything that decides it, so a
resumed run finds its arrays and a changed configuration never reads stale ones.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from forewarn.events import DataConfig, History, HistoryStore, given_splits, open_histories
from forewarn.sequence import EncodedHistory, Featurizer, RaggedWriter
from forewarn.targets import (
    HazardLabels,
    ProtocolConfig,
    SplitAssignment,
    TargetSpec,
    assign_splits,
    label_history,
    summarise,
)
from forewarn.text import CachedEncoder
from training.config import TrainConfig
from training.text_export import export_text_encoder

SPLITS = ("train", "valid", "test")
_SAVED = "prepared.json"
_CHUNK = 512  # histories encoded at once


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

    def split(self, name: str) -> Path:
        """The dataset file of a split."""
        return self.folder / f"{name}.arrow"


@dataclass(frozen=True)
class LabelledSplits:
    """The histories of a data set under a target and a protocol, streamed split by split."""

    store: HistoryStore
    target: TargetSpec
    protocol: ProtocolConfig
    assignment: SplitAssignment

    @classmethod
    def open(cls, data: DataConfig, target: TargetSpec, protocol: ProtocolConfig, folder: Path) -> LabelledSplits:
        """Reads the events into `folder` (once) and assigns every history to a split."""
        store = open_histories(data, folder, progress=sys.stderr.isatty())
        given = given_splits(data)
        if given is not None:
            protocol = replace(protocol, name="given", split="given")
        index = [summarise(history, target, protocol) for history in progress(store, "summaries", len(store))]
        found = [summary for summary in index if summary is not None]
        return cls(store, target, protocol, assign_splits(found, protocol, given))

    def histories(self, split: str) -> Iterator[History]:
        """The whole histories of a split, in the order of the store."""
        return (history for history in self.store if self.assignment.split.get(history.history_id) == split)

    def visible(self, split: str) -> Iterator[History]:
        """The histories of a split as the model may see them, at most `max_prefix` events of each."""
        for history in self.histories(split):
            seen = self.target.visible(history, self.assignment.observed_until(history.history_id))
            if seen.events:
                yield History(seen.history_id, seen.customer_id, seen.events[: self.protocol.max_prefix])

    def labelled(self, split: str) -> Iterator[tuple[History, dict[str, NDArray[Any]]]]:
        """Visible histories of a split, each with its label arrays named "<task>.<part>"."""
        most = self.protocol.max_prefix
        for history in self.histories(split):
            until = self.assignment.observed_until(history.history_id)
            seen = self.target.visible(history, until)
            if not seen.events:
                continue
            labels = label_arrays(self.target, label_history(self.target, history, observed_until=until))
            kept = {name: array[:most] for name, array in labels.items()}
            yield History(seen.history_id, seen.customer_id, seen.events[:most]), kept


def label_arrays(target: TargetSpec, labels: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Labels as arrays: hazard "onset", "at_risk", "observed" [T, K]; classification "label" [T]; else "value" [T]."""
    arrays: dict[str, NDArray[Any]] = {}
    for task in target.tasks:
        label = labels[task.name]
        if isinstance(label, HazardLabels):
            arrays[f"{task.name}.onset"] = label.onset
            arrays[f"{task.name}.at_risk"] = label.at_risk.astype(np.uint8)
            assert label.observed is not None
            arrays[f"{task.name}.observed"] = label.observed.astype(np.uint8)
        elif task.kind == "classification":
            arrays[f"{task.name}.label"] = label.astype(np.int32)
        else:
            arrays[f"{task.name}.value"] = label
    return arrays


def prepare(config: TrainConfig, target: TargetSpec, folder: Path) -> Prepared:
    """Builds (or finds again) the encoded splits of a run below `folder`."""
    splits = LabelledSplits.open(config.data, target, config.protocol, folder / "histories")
    key = _key(config, target, splits.store.fingerprint)
    built = folder / "encoded"
    text = _text_encoder(config)
    if not (built / _SAVED).is_file() or json.loads((built / _SAVED).read_text())["key"] != key:
        shutil.rmtree(built, ignore_errors=True)
        building = folder / ".encoded.building"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        _build(config, splits, text, key, building)
        building.rename(built)
    return Prepared.load(built)


def _build(
    config: TrainConfig, splits: LabelledSplits, text: tuple[Path, CachedEncoder] | None, key: str, folder: Path
) -> None:
    target = splits.target.with_classes(splits.histories("train"))
    splits = LabelledSplits(splits.store, target, splits.protocol, splits.assignment)
    embed = text[1] if text is not None else None
    featurizer = Featurizer.fit(
        progress(splits.visible("train"), "fit featurizer"),
        config.data.inputs,
        config.sequence,
        exclude=target.hidden_inputs(),
        text_width=embed.dim if embed is not None else 0,
    )
    if featurizer.text_width and embed is not None:
        _embed_all(splits, embed)
    counts: dict[str, dict[str, int]] = {}
    for split in SPLITS:
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
    saved = {
        "key": key,
        "target": target.to_yaml(),
        "featurizer": featurizer.to_dict(),
        "text_folder": text[0].absolute().as_posix() if text is not None and featurizer.text_width else None,
        "facts": facts,
    }
    (folder / _SAVED).write_text(json.dumps(saved))


def write_split(
    labelled: Iterable[tuple[History, dict[str, NDArray[Any]]]],
    featurizer: Featurizer,
    embed: CachedEncoder | None,
    path: Path,
    name: str,
) -> dict[str, int]:
    """Encodes labelled histories into one dataset file; a history beyond `max_length` becomes several windows."""
    counts = {"histories": 0, "events": 0, "windows": 0}
    with ExitStack() as stack:
        writer = stack.enter_context(RaggedWriter(path))
        for chunk in _chunks(progress(labelled, f"encode {name}"), _CHUNK):
            encoded = featurizer.encode([h for h, _ in chunk], embed.encode if embed is not None else None)
            for history, (_, labels) in zip(encoded, chunk, strict=True):
                for window, window_labels in windows(history, labels, featurizer.config.max_length):
                    writer.add(history.history_id, input_arrays(window) | window_labels)
                    counts["windows"] += 1
                counts["histories"] += 1
                counts["events"] += history.length
    return counts


def input_arrays(history: EncodedHistory) -> dict[str, NDArray[Any]]:
    """The stored columns of an encoded history."""
    return {
        "categorical": history.categorical,
        "numeric": history.numeric,
        "position": history.position,
        "text_index": history.text_index,
        "text_vectors": history.text_vectors,
    }


def windows(
    history: EncodedHistory, labels: dict[str, NDArray[Any]], longest: int
) -> Iterator[tuple[EncodedHistory, dict[str, NDArray[Any]]]]:
    """Cuts a long history into windows of `longest` events that overlap by half; every prefix is labelled once.

    The first half of every window but the first is context only, so each labelled prefix sees at least half a window.
    """
    if history.length <= longest:
        yield history, labels
        return
    step = max(longest // 2, 1)
    for start in range(0, history.length - longest + step, step):
        stop = min(start + longest, history.length)
        context = 0 if start == 0 else longest - step
        if start + context >= stop:
            return
        cut = {name: array[start:stop].copy() for name, array in labels.items()}
        for name, array in cut.items():
            array[:context] = _NO_LABEL[name.rpartition(".")[2]]
        yield history.take(slice(start, stop)), cut


_NO_LABEL = {"onset": 0, "at_risk": 0, "observed": 0, "label": -1, "value": np.nan}


def progress(items: Iterable[Any], what: str, total: int | None = None) -> Iterable[Any]:
    """A progress bar over histories, silent where nobody watches."""
    return tqdm(items, desc=what, total=total, unit=" histories", disable=None, leave=False)


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _embed_all(splits: LabelledSplits, embed: CachedEncoder) -> None:
    """Encodes every distinct text once, under one progress bar, before the arrays are written."""
    texts = dict.fromkeys(
        event.text for split in SPLITS for history in splits.visible(split) for event in history.events if event.text
    )
    for chunk in _chunks(texts, 100_000):
        embed.encode(chunk, progress=sys.stderr.isatty())


def _text_encoder(config: TrainConfig) -> tuple[Path, CachedEncoder] | None:
    if config.text.source == "none" or not config.data.inputs.text:
        return None
    folder = export_text_encoder(config.text)
    assert folder is not None
    return folder, CachedEncoder.open(folder, config.text.cache_folder, batch_tokens=config.text.batch_tokens)


def _key(config: TrainConfig, target: TargetSpec, fingerprint: str) -> str:
    deciding = {
        "events": fingerprint,
        "splits": config.data.splits,
        "inputs": asdict(config.data.inputs),
        "target": target.hash,
        "protocol": asdict(config.protocol),
        "sequence": asdict(config.sequence),
        "text": [config.text.source, config.text.model, config.text.max_tokens, config.text.precision],
    }
    return hashlib.sha256(json.dumps(deciding, sort_keys=True, default=str).encode()).hexdigest()
