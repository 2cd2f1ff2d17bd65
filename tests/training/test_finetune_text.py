"""Fine-tuning a text encoder: what learns, what stays, what is read, and that a later run can use the result."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ModernBertConfig,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
)

from forewarn.text import TextConfig
from training.config import compose
from training.finetune_text import FinetuneTextConfig, finetune_text
from training.fit import fit
from training.lora import add_lora, merge_lora
from training.prepare import prepare
from training.target import load_target
from training.text_graph import PooledEncoder, load_text_network
from training.text_layers import TextNumbers, TunedEncoder

FILLERS = ["the", "order", "is", "here", "my", "box", "came", "today"]
GOOD, BAD = ["great", "thanks", "lovely"], ["awful", "broken", "never"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *FILLERS, *GOOD, *BAD]
TARGET = "name: mood\ntasks:\n  - {name: mood, kind: classification, field: mood, at: same}\n"
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def save(network: Any, folder: Path) -> Path:
    """The folder of a network and a tokenizer of `WORDS`, as `save_pretrained` leaves them."""
    network.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(WORDS), max_position_embeddings=64, initializer_range=0.2, **SHAPE)
    return save(BertModel(config), tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 customers of three messages each, whose mood is in the words; the test split has a word of its own."""
    folder, rng = tmp_path_factory.mktemp("table"), random.Random(0)
    with (folder / "events.csv").open("w", newline="") as file, (folder / "splits.csv").open("w") as splits:
        rows = csv.writer(file)
        rows.writerow(["customer_id", "type", "occurred_at", "text", "mood"])
        splits.write("customer_id,split\n")
        for customer in range(160):
            split = "test" if customer % 8 == 0 else "valid" if customer % 8 == 1 else "train"
            splits.write(f"c{customer},{split}\n")
            for hour in range(3):
                mood = rng.choice(["good", "bad"])
                words = [*rng.choices(FILLERS, k=2), rng.choice(GOOD if mood == "good" else BAD)]
                rng.shuffle(words)
                text = " ".join(words + ["secret"] * (split == "test"))
                rows.writerow([f"c{customer}", "message", f"2026-01-01T0{hour}:00:00Z", text, mood])
    (folder / "mood.yaml").write_text(TARGET)
    return folder


def arguments(table: Path, model: Path, run: Path) -> list[str]:
    return [
        "data=table", f"data.events={table / 'events.csv'}", f"data.splits={table / 'splits.csv'}",
        f"target={table / 'mood.yaml'}", "text=huggingface", f"text.model={model}", f"text.cache_dir={table / 'cache'}",
        "text.max_tokens=32", "text.batch_tokens=256", "model=tiny", "logger=none", "optim.token_budget=48",
        "optim.learning_rate=2e-3", "optim.ema=0", "trainer.patience=12", "trainer.progress=false",
        "trainer.threads=1", "trainer.least_steps=0", f"run={run}",
    ]  # fmt: skip


def configured(table: Path, bert: Path, run: Path, *more: str) -> FinetuneTextConfig:
    config: FinetuneTextConfig = compose(
        *arguments(table, bert, run), "layers=1", "learning_rate=2e-3", *more,
        root="finetune_text", kind=FinetuneTextConfig,
    )  # fmt: skip
    return config


@pytest.fixture(scope="module")
def tuned(table: Path, bert: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return finetune_text(configured(table, bert, tmp_path_factory.mktemp("tuned") / "run", "trainer.epochs=8"))


def test_the_loss_falls_where_the_label_is_in_the_words(tuned: dict[str, Any]) -> None:
    curve = json.loads((tuned["run"] / "metrics.json").read_text())["training"]["curve"]
    assert curve[0]["valid/loss"] > 0.5
    assert tuned["valid_loss"] < 0.5 * curve[0]["valid/loss"]


def test_the_upper_layers_have_learnt_and_all_else_is_as_it_was(tuned: dict[str, Any], bert: Path) -> None:
    before, after = load_file(bert / "model.safetensors"), load_file(tuned["encoder"] / "model.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in after.items():
        # A bias of attention's keys moves every score of a query alike, so it has no gradient.
        if "layer.1." in name and not name.endswith("key.bias"):
            assert not torch.equal(tensor, before[name]), name
        elif "layer.1." not in name:
            assert torch.equal(tensor, before[name]), name


def test_nothing_of_the_test_split_is_read(tuned: dict[str, Any]) -> None:
    texts = json.loads((tuned["run"] / "data" / "texts.json").read_text())
    assert any("awful" in text for text in texts)
    assert not any("secret" in text for text in texts)
    assert not (tuned["run"] / "data" / "encoded" / "test.arrow").exists()


def test_the_folder_tells_where_it_comes_from_without_a_path(tuned: dict[str, Any], bert: Path) -> None:
    facts = json.loads((tuned["encoder"] / "finetuned.json").read_text())
    assert (facts["source"], facts["layers"], facts["target"]) == (bert.name, 1, "mood")
    for path in tuned["encoder"].glob("*.json"):
        assert str(bert.parent) not in path.read_text()


def test_a_later_run_reads_the_folder_and_starts_from_better_vectors(
    tuned: dict[str, Any], table: Path, bert: Path, tmp_path: Path
) -> None:
    losses = {}
    for model in (bert, tuned["encoder"]):
        run = tmp_path / model.name
        config = compose(*arguments(table, model, run), "measure=false", "trainer.epochs=2")
        losses[model] = fit(config, prepare(config, load_target(config), run / "data"), run).facts["valid_loss"]
    assert losses[tuned["encoder"]] < 0.6 * losses[bert]


def test_adapters_compute_the_linear_map_at_the_start_and_are_merged_without_a_trace() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 16), nn.Sequential(nn.GELU(), nn.Linear(16, 4)))
    x = torch.randn(5, 8)
    plain, names = module(x), set(module.state_dict())
    add_lora(module, rank=2)
    assert torch.equal(module(x), plain)
    learning = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert {name.rpartition(".")[2] for name in learning} == {"down", "up"}
    for parameter in learning.values():
        parameter.data.normal_()
    adapted = module(x)
    assert not torch.allclose(adapted, plain, atol=0.1)
    merge_lora(module)
    torch.testing.assert_close(module(x), adapted)
    assert set(module.state_dict()) == names


def test_a_low_rank_run_changes_the_linear_maps_of_the_upper_layers_alone_and_by_that_rank(
    table: Path, bert: Path, tmp_path: Path
) -> None:
    config = configured(table, bert, tmp_path / "run", "lora_rank=2", "learning_rate=1e-2", "trainer.epochs=1")
    result = finetune_text(config)
    before, after = load_file(bert / "model.safetensors"), load_file(result["encoder"] / "model.safetensors")
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {name for name in before if "layer.1." in name and before[name].ndim == 2}
    for name in changed:
        assert torch.linalg.matrix_rank(after[name] - before[name], atol=1e-4) <= 2


BERT = {"vocab_size": len(WORDS), "max_position_embeddings": 64, **SHAPE}
DISTILBERT = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
NETWORKS: dict[str, Callable[[], Any]] = {
    "bert": lambda: BertModel(BertConfig(**BERT)),
    "distilbert": lambda: DistilBertModel(DistilBertConfig(vocab_size=len(WORDS), **DISTILBERT)),
    "mpnet": lambda: MPNetModel(MPNetConfig(**BERT)),
    "modernbert": lambda: ModernBertModel(ModernBertConfig(**BERT, pad_token_id=0, local_attention=4)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_vectors_above_kept_lower_layers_are_those_of_the_whole_network_whatever_the_architecture(
    name: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    folder = save(NETWORKS[name](), tmp_path / name)
    config = TextConfig("huggingface", str(folder), max_tokens=32, batch_tokens=64)
    texts = ["my box came today", "awful", "the order is here and my box is broken " * 9, "great thanks"]
    numbers = torch.from_numpy(TextNumbers("any").encode(texts)[:, 0]).long()
    vectors = []
    for layers in (1, 2):  # one layer lies below and is kept, or none
        encoder = TunedEncoder(folder, config, texts, layers, 0, tmp_path / "work")
        encoder.keep_lower(tmp_path / "lower.f16", torch.device("cpu"))
        assert sum(parameter.requires_grad for parameter in encoder.parameters()) == len(list(encoder.parameters()))
        encoder.eval()
        for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
            vectors.append(encoder(numbers[order]).detach()[np.argsort(order)])
    tokenizer = Tokenizer.from_file(str(tmp_path / "work" / "tokenizer.json"))
    whole = PooledEncoder(load_text_network(folder)).eval()
    with torch.inference_mode():
        expected = torch.cat([whole(*_ids_and_mask(tokenizer, text)) for text in texts])
    for found in vectors:
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)


def test_learning_layers_drop_out_until_they_are_evaluated(bert: Path, tmp_path: Path) -> None:
    config = TextConfig("huggingface", str(bert), max_tokens=32, batch_tokens=64)
    encoder = TunedEncoder(bert, config, ["my box came today"], 1, 0, tmp_path / "work")
    encoder.keep_lower(tmp_path / "lower.f16", torch.device("cpu"))
    number = torch.tensor([1])
    assert not torch.equal(encoder(number), encoder(number))
    encoder.eval()
    assert torch.equal(encoder(number), encoder(number))


def _ids_and_mask(tokenizer: Tokenizer, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.tensor([tokenizer.encode(text).ids])
    return ids, torch.ones_like(ids)


def test_numbers_are_kept_by_text_and_a_text_without_content_has_none() -> None:
    numbers = TextNumbers("any", ["late again"])
    assert numbers.encode(["  ", "thanks", "late \n again", "thanks"])[:, 0].tolist() == [0, 2, 1, 2]
    assert numbers.texts == ["late again", "thanks"]


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("layers=3", r"layers: found 3, expected 1 to 2"),
        ("lora_rank=-1", r"lora_rank: found -1"),
        ("trainer.devices=2", r"trainer\.devices: found 2, expected 1"),
        ("data.inputs.text=false", r"data: found no texts"),
    ],
)
def test_a_wrong_setting_is_named(override: str, told: str, table: Path, bert: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        finetune_text(configured(table, bert, tmp_path / "run", override))


def test_a_killed_run_goes_on_where_it_stopped_and_ends_as_if_it_had_not(
    tuned: dict[str, Any], table: Path, bert: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    config = configured(table, bert, run, "trainer.epochs=8")
    process = subprocess.Popen(
        [sys.executable, "-m", "training.finetune_text", *arguments(table, bert, run),
         "layers=1", "learning_rate=2e-3", "trainer.epochs=8"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (run / "checkpoints" / "last.ckpt").is_file():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (run / "encoder").exists()
    with pytest.raises(ValueError, match=r"run: found .* of an earlier run"):
        finetune_text(config)
    assert finetune_text(replace(config, resume=True))["valid_loss"] == pytest.approx(tuned["valid_loss"], rel=1e-5)
