from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forewarn.text import TextEncoder
from forewarn.text.encoder import _batches

TEXTS = [
    "Where is my order?",
    "I have been waiting for two weeks and nobody answers. This is the third time I write to you about it.",
    "thanks",
    "Das Paket ist besch\u00e4digt angekommen, bitte um R\u00fcckruf.",
    "\u6211\u7684\u8ba2\u5355\u5728\u54ea\u91cc",
    "\U0001f621\U0001f621 refund NOW \U0001f621",
    "x" * 5000,
    "again and " * 3000,
]
ROUNDING = 1e-5


def test_vectors_are_float32_of_length_one_and_as_wide_as_announced(encoder: TextEncoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), encoder.dim) == (len(TEXTS), 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=ROUNDING)


def test_the_width_can_be_read_from_the_graph_alone(encoder: TextEncoder) -> None:
    assert TextEncoder(encoder.onnx_path, encoder.tokenizer_path).dim == encoder.dim


def test_encoding_twice_gives_the_same_bits(encoder: TextEncoder) -> None:
    np.testing.assert_array_equal(encoder.encode(TEXTS), encoder.encode(TEXTS))


def test_order_does_not_matter(encoder: TextEncoder) -> None:
    order = np.random.default_rng(0).permutation(len(TEXTS))
    shuffled = encoder.encode([TEXTS[i] for i in order])
    np.testing.assert_allclose(shuffled, encoder.encode(TEXTS)[order], atol=ROUNDING)


@pytest.mark.parametrize("batch_tokens", [1, 128, 100_000])
def test_a_vector_does_not_depend_on_its_batch(encoder: TextEncoder, minilm_folder: Path, batch_tokens: int) -> None:
    other = TextEncoder.open(minilm_folder, batch_tokens=batch_tokens)
    np.testing.assert_allclose(other.encode(TEXTS), encoder.encode(TEXTS), atol=ROUNDING)


def test_neighbours_in_meaning_are_neighbours_in_space(encoder: TextEncoder) -> None:
    late, later, praise = encoder.encode(
        ["my parcel is late", "the delivery has been delayed again", "what a lovely restaurant"]
    )
    assert late @ later > late @ praise + 0.2


@pytest.mark.parametrize("nothing", ["", "   ", "\n\t\u3000"])
def test_a_text_without_content_is_the_zero_vector_alone_or_among_others(encoder: TextEncoder, nothing: str) -> None:
    assert not encoder.encode([nothing]).any()
    vectors = encoder.encode(["hello", nothing])
    assert vectors[0].any()
    assert not vectors[1].any()


def test_no_texts_give_no_vectors(encoder: TextEncoder) -> None:
    assert encoder.encode([]).shape == (0, 384)


def test_white_space_and_composition_do_not_change_the_vector(encoder: TextEncoder) -> None:
    vectors = encoder.encode(["the cafe\u0301  is\nclosed ", "the caf\u00e9 is closed"])
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_a_lone_surrogate_is_encoded_like_any_other_text(encoder: TextEncoder) -> None:
    assert np.isfinite(encoder.encode(["half an emoji \ud83d"])).all()


def test_what_lies_behind_the_length_limit_is_cut_and_counted(minilm_folder: Path) -> None:
    encoder = TextEncoder.open(minilm_folder)
    exactly_full = "late " * (encoder.max_tokens - 2)  # [CLS] and [SEP] take two
    vectors = encoder.encode([exactly_full, exactly_full + "late", exactly_full + "late refund complaint", "late"])
    np.testing.assert_allclose(vectors[1:3], vectors[[0, 0]], atol=ROUNDING)
    assert encoder.counts["texts"] == 4
    assert encoder.counts["truncated"] == 2
    assert encoder.counts["tokens"] == 3 * encoder.max_tokens + 3


def test_the_progress_bar_counts_texts(encoder: TextEncoder, capsys: pytest.CaptureFixture[str]) -> None:
    encoder.encode(TEXTS)
    assert capsys.readouterr().err == ""
    encoder.encode(TEXTS, progress=True)
    assert f"{len(TEXTS)}/{len(TEXTS)}" in capsys.readouterr().err


def test_the_hash_names_what_decides_a_vector(minilm_folder: Path, encoder: TextEncoder) -> None:
    assert TextEncoder.open(minilm_folder, batch_tokens=256, threads=1).hash == encoder.hash
    assert TextEncoder(encoder.onnx_path, encoder.tokenizer_path, max_tokens=64).hash != encoder.hash


@pytest.mark.parametrize("name", ["text.onnx", "tokenizer.json", "text.json"])
def test_a_missing_file_is_named(tmp_path: Path, minilm_folder: Path, name: str) -> None:
    for path in minilm_folder.iterdir():
        if path.name != name:
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(ValueError, match=name):
        TextEncoder.open(tmp_path)


@given(st.lists(st.integers(0, 128), max_size=200), st.integers(1, 2048))
@settings(max_examples=200)
def test_batches_hold_every_text_once_within_the_token_budget(lengths: list[int], batch_tokens: int) -> None:
    widths = np.array(lengths, np.int64)
    batches = list(_batches(widths, batch_tokens))
    assert sorted(i for rows in batches for i in rows) == list(range(len(lengths)))
    for rows in batches:
        assert len(rows) == 1 or len(rows) * widths[rows].max() <= batch_tokens
        assert (widths[rows] == 0).all() or (widths[rows] > 0).all()


def test_a_chunk_of_realistic_lengths_is_at_most_a_twelfth_padding() -> None:
    lengths = np.minimum(2 + np.random.default_rng(0).geometric(1 / 18, 1024), 128)
    padded = sum(len(rows) * lengths[rows].max() for rows in _batches(lengths, 1024))
    assert lengths.sum() / padded > 11 / 12


def test_padding_is_counted(minilm_folder: Path) -> None:
    encoder = TextEncoder.open(minilm_folder)
    encoder.encode(["late", "late again"])
    assert encoder.counts["tokens"] == 7
    assert encoder.counts["padding"] == 1


def test_importing_the_room_and_opening_an_encoder_loads_no_torch(minilm_folder: Path) -> None:
    code = (
        "import sys, forewarn.text as text\n"
        f"text.CachedEncoder.open({str(minilm_folder)!r}).encode(['hello'])\n"
        "loaded = {'torch', 'transformers', 'lightning', 'training'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=_environment())


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(sys.path)}
