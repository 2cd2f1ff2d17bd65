"""A text encoder learned from opaque words alone, from the table to the served score."""

from __future__ import annotations

import asyncio
import csv
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from forewarn.bundle import Bundle, Scorer
from forewarn.events import History
from forewarn.sequence import RaggedDataset
from serving.config import load
from serving.engine import Engine
from training.config import TrainConfig, compose
from training.labelled import LabelledSplits
from training.train import load_target, train

TARGET = """
name: verdict
description: How a dialogue ends, told by one of three words in its first turn.
tasks:
  - {name: refused, kind: hazard, onset: {when: {field: outcome, equals: refused}, at: last}, horizons: [ever]}
"""
SIGNS = ("w901", "w902", "不")


def write_dialogues(path: Path) -> None:
    """Dialogues of words that mean nothing anywhere else; a first turn is long and half of them carry a sign."""
    rng = random.Random(0)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["customer_id", "type", "occurred_at", "text", "outcome"])
        for dialogue in range(500):
            refused = rng.random() < 0.5
            turns = [[f"w{rng.randrange(80)}" for _ in range(rng.randint(4, 8))] for _ in range(rng.randint(1, 3))]
            if refused:
                turns[0].insert(rng.randint(0, 4), rng.choice(SIGNS))
            turns[0] += ["tail"] * 20  # beyond max_words
            for number, words in enumerate(turns):
                when = 1_700_000_000 + dialogue * 3_600 + number * 60
                text = " ".join(words) if rng.random() > 0.05 or not number else " "
                rows.writerow([dialogue, "turn", when, text, "refused" if refused else "accepted"])


def config(quick: list[str], folder: Path, text: str, *more: str) -> TrainConfig:
    return compose(
        *quick, "data=table", f"data.events={folder / 'dialogues.csv'}", "data.time_format=epoch_s", "protocol=random",
        f"target={folder / 'verdict.yaml'}", f"text={text}",
        "model.word_width=32", "trainer.epochs=8", "trainer.patience=8", "optim.token_budget=64",
        "optim.learning_rate=4e-3", f"run={folder / text}", *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, quick: list[str]) -> Path:
    """Trained twice: with words to learn, and without texts."""
    folder = tmp_path_factory.mktemp("words")
    write_dialogues(folder / "dialogues.csv")
    (folder / "verdict.yaml").write_text(TARGET)
    train(config(quick, folder, "learned", "text.max_words=16", "precisions=[fp32,fp16]"))
    train(config(quick, folder, "none", "trainer.epochs=2"))
    return folder


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return Bundle.load(folder / "learned" / "bundle")


@pytest.fixture(scope="module")
def histories(quick: list[str], folder: Path) -> list[History]:
    own = config(quick, folder, "learned")
    splits = LabelledSplits.open(own.data, load_target(own), own.protocol, folder / "again")
    return list(splits.visible("test"))


def auroc(folder: Path, text: str) -> float:
    metrics = json.loads((folder / text / "metrics.json").read_text())["metrics"]["transformer"]
    return float(metrics["refused"]["horizons"]["ever"]["auroc"]["value"])


def test_opaque_words_are_learned_from_the_labels_alone(folder: Path) -> None:
    assert auroc(folder, "learned") > 0.9
    assert auroc(folder, "none") < 0.65


def test_the_encoder_is_part_of_the_one_graph_and_agrees_with_torch(bundle: Bundle) -> None:
    assert not any(name.startswith("text/") for name in bundle.manifest.files)
    assert bundle.text_folder is None and Scorer(bundle, threads=1).embed is None
    assert bundle.manifest.parity["fp32"] < 1e-4 and bundle.manifest.parity["fp16"] < 1e-2
    text = bundle.manifest.text
    assert text is not None and bundle.featurizer.words is not None
    assert (text.source, text.width, text.max_tokens) == ("learned", 64, 16)
    assert text.vocabulary == len(bundle.featurizer.words.words) > 80
    assert set(SIGNS) <= set(bundle.featurizer.words.words)


def test_texts_that_were_cut_are_counted_in_the_record_of_the_run(bundle: Bundle, folder: Path) -> None:
    words = bundle.manifest.data["words"]
    assert 0 < words["cut"] <= words["texts"]
    rows = RaggedDataset(folder / "learned" / "data" / "encoded" / "train.arrow")
    assert rows[0][1]["text_words"].shape[1] == 16


def test_a_served_score_is_the_trained_one_and_is_answered_on_the_event_loop(
    bundle: Bundle, histories: list[History]
) -> None:
    engine = Engine(load({"bundle": str(bundle.path), "threads": 1}))
    try:
        asyncio.run(engine.warm_up())
        body = {"histories": [{"customer_id": h.customer_id, "events": [record(e) for e in h.events]}
                              for h in histories[:8]]}  # fmt: skip
        answer = msgspec.json.decode(asyncio.run(engine.score(msgspec.json.encode(body))))
        assert engine.inline_bytes > 0
    finally:
        engine.close()
    for served, scores in zip(answer["histories"], Scorer(bundle, threads=1).score(histories[:8]), strict=True):
        risk = [list(point["risk"]["refused"].values()) for point in served["trajectory"]]
        np.testing.assert_allclose(risk, scores["refused"], atol=1e-4)


def record(event: Any) -> dict[str, Any]:
    times = {name: getattr(event, name).isoformat() for name in ("occurred_at", "ingested_at")}
    return {"event_id": event.event_id, "type": event.type, "text": event.text, **times, **event.attributes}
