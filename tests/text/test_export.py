from __future__ import annotations

import importlib
import json
import shutil
import sys
import time
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import onnx
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from forewarn.text import TextConfig, TextEncoder
from training.text_export import export_text_encoder, open_text_encoder
from training.text_graph import PARITY_LIMIT
from training.text_source import MINILM_PACKAGE, MINILM_SHA256, find_text_source

TEXTS = [
    "Where is my order?",
    "I have been waiting for two weeks and nobody answers, this is the third time I write to you about it.",
    "ok",
    "Das Paket ist besch\u00e4digt angekommen \U0001f621",
    "again and " * 300,
]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "where", "is", "my", "order", "late", "again", "thanks"]


def torch_vectors(folder: Path, texts: list[str], max_tokens: int = 128) -> np.ndarray:
    """The reference: transformers' own tokenizer and attention, mean pooling and normalisation written out."""
    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    batch = tokenizer(texts, padding=True, truncation=True, max_length=max_tokens, return_tensors="pt")
    with torch.inference_mode():
        hidden = network.eval()(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    pooled = (hidden * mask).sum(1) / mask.sum(1)
    return np.asarray(pooled / pooled.norm(dim=1, keepdim=True))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised BERT and its tokenizer as `save_pretrained` leaves them."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(WORDS), max_position_embeddings=64, **shape)).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def tiny_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests that only need some export of `tiny` share one."""
    return tmp_path_factory.mktemp("tiny-cache")


def local(model: Path, cache: Path, **options: object) -> TextConfig:
    return TextConfig(source="huggingface", model=str(model), cache_dir=str(cache), **{"max_tokens": 64, **options})  # type: ignore[arg-type]


def test_minilm_in_onnx_equals_transformers_in_torch_on_ragged_batches_and_single_texts(
    minilm: TextConfig, encoder: TextEncoder
) -> None:
    expected = torch_vectors(find_text_source(minilm).folder, TEXTS)
    assert np.abs(encoder.encode(TEXTS) - expected).max() <= PARITY_LIMIT["fp32"]
    singly = np.concatenate([encoder.encode([text]) for text in TEXTS])
    assert np.abs(singly - expected).max() <= PARITY_LIMIT["fp32"]


def test_the_facts_say_what_was_exported_and_how_exact_it_is(minilm_folder: Path) -> None:
    facts = json.loads((minilm_folder / "text.json").read_text())
    assert facts["source"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert facts["weights_sha256"] == MINILM_SHA256
    assert (facts["dim"], facts["max_tokens"], facts["pooling"]) == (384, 128, "mean")
    assert facts["parity_error"] <= PARITY_LIMIT["fp32"]


def test_the_graph_is_fused_and_carries_no_path_of_this_machine(minilm_folder: Path) -> None:
    graph = onnx.load(minilm_folder / "text.onnx")
    assert sum(node.op_type == "Attention" for node in graph.graph.node) == 6
    assert b"/modeling_" not in graph.SerializeToString()


def test_a_second_export_takes_no_time_and_gives_the_same_files(
    minilm: TextConfig, minilm_folder: Path, tmp_path: Path
) -> None:
    start = time.perf_counter()
    copy = export_text_encoder(minilm, tmp_path / "bundle")
    assert time.perf_counter() - start < 3
    assert copy == tmp_path / "bundle"
    names = {"text.onnx", "tokenizer.json", "text.json"}
    assert {path.name for path in copy.iterdir()} == names
    assert all((copy / name).read_bytes() == (minilm_folder / name).read_bytes() for name in names)


@pytest.mark.parametrize("damage", ["one changed byte", "a cut file", "a missing file"])
def test_weights_that_are_not_the_originals_are_refused(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / MINILM_PACKAGE
    shutil.copytree(find_text_source(TextConfig()).folder, package / "model")
    (package / "__init__.py").touch()
    weights = package / "model" / "model.safetensors"
    if damage == "a missing file":
        weights.unlink()
    else:
        with weights.open("r+b") as file:
            file.seek(50_000_000)
            if damage == "one changed byte":
                byte = file.read(1)
                file.seek(-1, 1)
                file.write(bytes([byte[0] ^ 1]))
            else:
                file.truncate()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, MINILM_PACKAGE, raising=False)
    importlib.invalidate_caches()
    with pytest.raises(ValueError, match=rf"expected (config\.json|the original's, {MINILM_SHA256})"):
        export_text_encoder(TextConfig(cache_dir=str(tmp_path / "cache")))
    assert not (tmp_path / "cache").exists()


def test_a_local_folder_is_exported_and_equals_torch(tiny: Path, tiny_cache: Path) -> None:
    cached = open_text_encoder(local(tiny, tiny_cache))
    assert cached is not None
    texts = ["where is my order", "late", "again late again late thanks", "unheard of words"]
    assert cached.dim == 32
    assert np.abs(cached.encode(texts) - torch_vectors(tiny, texts, 64)).max() <= PARITY_LIMIT["fp32"]


def test_half_precision_stays_within_its_limit_and_halves_the_graph(tiny: Path, tiny_cache: Path) -> None:
    full, half = (export_text_encoder(local(tiny, tiny_cache, precision=precision)) for precision in ("fp32", "fp16"))
    assert full is not None
    assert half is not None
    vectors = [TextEncoder.open(folder).encode(["where is my order", "late again"]) for folder in (full, half)]
    assert vectors[1].dtype == np.float32
    assert 0 < np.abs(vectors[0] - vectors[1]).max() <= PARITY_LIMIT["fp16"]
    for folder, kind in ((full, onnx.TensorProto.FLOAT), (half, onnx.TensorProto.FLOAT16)):
        weights = onnx.load(folder / "text.onnx").graph.initializer
        matrices = {w.data_type for w in weights if len(w.dims) == 2}
        assert matrices - {onnx.TensorProto.INT64} == {kind}


def test_a_damaged_or_unfinished_export_is_made_again(tiny: Path, tiny_cache: Path) -> None:
    cfg = local(tiny, tiny_cache)
    folder = export_text_encoder(cfg)
    assert folder is not None
    whole = (folder / "text.onnx").read_bytes()
    (folder / "text.onnx").write_bytes(whole[:-100])
    assert export_text_encoder(cfg) == folder
    assert (folder / "text.onnx").read_bytes() == whole
    assert not list(folder.parent.glob(".*"))


def test_a_graph_above_the_parity_limit_is_refused_and_not_kept(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PARITY_LIMIT, "fp32", -1.0)
    with pytest.raises(ValueError, match=r"found a parity error of .* expected at most"):
        export_text_encoder(local(tiny, tmp_path))
    assert list((tmp_path / "exports").iterdir()) == []


def test_a_length_the_network_cannot_read_is_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"text\.max_tokens: found 65"):
        export_text_encoder(local(tiny, tmp_path, max_tokens=65))


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(ValueError, match=r"found config\.json in .* expected config\.json and \*\.safetensors"):
        export_text_encoder(local(tmp_path, tmp_path / "cache"))


def test_a_folder_without_a_tokenizer_is_refused(tiny: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny / name, tmp_path)
    with pytest.raises(ValueError, match=r"text\.model: found config\.json, .* expected a tokenizer .*tokenizer\.json"):
        export_text_encoder(local(tmp_path, tmp_path / "cache"))


@pytest.mark.parametrize(
    ("name", "told"), [("model.safetensors", "weights in .* cannot be loaded"), ("tokenizer.json", "a tokenizer in")]
)
def test_a_damaged_file_of_a_model_is_a_users_error(name: str, told: str, tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "model")
    whole = (tmp_path / "model" / name).read_bytes()
    (tmp_path / "model" / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=rf"text\.model: found {told}"):
        export_text_encoder(local(tmp_path / "model", tmp_path / "cache"))
    assert not list((tmp_path / "cache" / "exports").iterdir())


def test_the_same_files_under_another_name_are_exported_under_that_name(tiny: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        shutil.copytree(tiny, tmp_path / name)
        folder = export_text_encoder(local(tmp_path / name, tmp_path / "cache"))
        assert folder is not None
        assert json.loads((folder / "text.json").read_text())["source"] == name


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"text\.model: found no folder .*nowhere"):
        export_text_encoder(local(tmp_path / "nowhere", tmp_path))


def test_a_hub_id_out_of_reach_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    cfg = TextConfig(source="huggingface", model="organisation/encoder", cache_dir=str(tmp_path))
    with pytest.raises(ValueError, match=r"'organisation/encoder'.*could not be fetched.*check the id and the network"):
        export_text_encoder(cfg)


def test_no_encoder_is_exported_where_texts_are_not_used(tmp_path: Path) -> None:
    cfg = TextConfig(source="none", cache_dir=str(tmp_path))
    assert export_text_encoder(cfg, tmp_path / "folder") is None
    assert open_text_encoder(cfg) is None
    assert list(tmp_path.iterdir()) == []
