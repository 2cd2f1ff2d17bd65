from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from forewarn.text import CachedEncoder, TextEncoder, VectorCache

TEXTS = ["where is my order?", "thanks", "where  is my order? ", "", "I want to speak to your manager", "thanks"]


def opened(minilm_folder: Path, cache_dir: Path | None) -> tuple[CachedEncoder, TextEncoder]:
    cached = CachedEncoder.open(minilm_folder, cache_dir)
    assert isinstance(cached.encoder, TextEncoder)
    return cached, cached.encoder


@pytest.mark.parametrize("on_disk", [True, False])
def test_every_distinct_text_is_encoded_once(minilm_folder: Path, tmp_path: Path, on_disk: bool) -> None:
    cached, inner = opened(minilm_folder, tmp_path if on_disk else None)
    vectors = cached.encode(TEXTS)
    np.testing.assert_allclose(vectors, inner.encode(TEXTS), atol=1e-5)
    inner.counts.clear()
    np.testing.assert_array_equal(cached.encode(TEXTS[::-1]), vectors[::-1])
    assert inner.counts["texts"] == 0


def test_distinct_means_distinct_after_normalisation(minilm_folder: Path) -> None:
    cached, inner = opened(minilm_folder, None)
    vectors = cached.encode(TEXTS)
    assert inner.counts["texts"] == 4
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert not vectors[3].any()


def test_a_hit_in_a_new_process_gives_identical_bits_without_the_network(minilm_folder: Path, tmp_path: Path) -> None:
    vectors = opened(minilm_folder, tmp_path)[0].encode(TEXTS)
    cached, inner = opened(minilm_folder, tmp_path)
    np.testing.assert_array_equal(cached.encode(TEXTS), vectors)
    assert "_session" not in vars(inner)


def test_no_texts_give_no_vectors(minilm_folder: Path) -> None:
    assert opened(minilm_folder, None)[0].encode([]).shape == (0, 384)


def test_encoders_of_another_hash_share_no_vectors(minilm_folder: Path, encoder: TextEncoder) -> None:
    shorter = TextEncoder(encoder.onnx_path, encoder.tokenizer_path, max_tokens=8)
    cache = VectorCache(None, encoder.dim)
    text = "the same long text " * 10
    long_vector = CachedEncoder(encoder, cache).encode([text])
    short_vector = CachedEncoder(shorter, cache).encode([text])
    assert len(cache) == 2
    assert np.abs(long_vector - short_vector).max() > 1e-3


def test_a_cache_of_another_width_is_refused(encoder: TextEncoder) -> None:
    with pytest.raises(ValueError, match="found width 5, expected the encoder's 384"):
        CachedEncoder(encoder, VectorCache(None, 5))


class LetterCounts:
    """An `Encoder` in four lines, which also shows how another kind would be added; it dies after `limit` texts."""

    dim = 26
    hash = "ab" * 32

    def __init__(self, limit: float = float("inf")) -> None:
        self.seen = 0
        self.limit = limit

    def encode(self, texts: Sequence[str], progress: bool = False) -> np.ndarray:
        self.seen += len(texts)
        if self.seen > self.limit:
            raise KeyboardInterrupt
        return np.array([[text.count(chr(97 + i)) for i in range(26)] for text in texts], np.float32)


def test_a_run_that_was_stopped_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    texts = [f"message {i}" for i in range(5000)]
    with pytest.raises(KeyboardInterrupt):
        CachedEncoder(LetterCounts(limit=3500), VectorCache(tmp_path, 26)).encode(texts)
    resumed = LetterCounts()
    vectors = CachedEncoder(resumed, VectorCache(tmp_path, 26)).encode(texts)
    assert 0 < resumed.seen <= 5000 - 3000
    np.testing.assert_array_equal(vectors, LetterCounts().encode(texts))


def test_the_progress_bar_counts_distinct_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cached = CachedEncoder(LetterCounts(), VectorCache(tmp_path, 26))
    cached.encode(["late", "again", "late"], progress=True)
    assert "2/2" in capsys.readouterr().err
