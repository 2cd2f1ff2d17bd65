"""The learned text encoder: padding says nothing, order says something, silence is finite."""

from __future__ import annotations

import torch

from forewarn.model import ModelConfig
from forewarn.model.words import WordEncoder


def encoder() -> WordEncoder:
    torch.manual_seed(0)
    return WordEncoder(ModelConfig(word_width=16), words=20).eval()


def test_padding_changes_no_vector() -> None:
    words = torch.tensor([[3, 4, 5], [6, 7, 0]])
    padded = torch.cat([words, torch.zeros(2, 4, dtype=torch.long)], dim=1)
    network = encoder()
    torch.testing.assert_close(network(words), network(padded))


def test_a_text_is_encoded_alike_alone_and_among_others() -> None:
    network = encoder()
    together = network(torch.tensor([[3, 4, 5], [6, 0, 0]]))
    torch.testing.assert_close(network(torch.tensor([[6]])), together[1:])


def test_words_in_another_order_are_another_text() -> None:
    network = encoder()
    one, other = network(torch.tensor([[3, 4, 5], [4, 3, 5]]))
    assert (one - other).abs().max() > 1e-3


def test_a_row_without_words_is_zero_and_has_finite_gradients() -> None:
    network = encoder()
    network.init_table()
    vectors = network(torch.tensor([[0, 0], [3, 4]]))
    assert not vectors[0].any()
    vectors.sum().backward()
    assert all(torch.isfinite(own.grad).all() for own in network.parameters() if own.grad is not None)
