"""Event embedder: one vector per event, the sum of what its fields say.

- Categorical fields share one table with an offset per field, so a step is a single gather.
- Numerics pass through learned periodic features and a per-field linear map (PLR, Gorishniy et al. 2022,
  arXiv 2203.05556); a missing value has its own learned vector, so that absence is information and never a zero.
- Text vectors are projected once per distinct text and gathered per event; row 0 is the learned "no text". They come
  from a pre-trained encoder as inputs, or from words through an encoder learned here (words.py).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from forewarn.model.config import InputShapes, ModelConfig
from forewarn.model.words import WordEncoder


class NumericEmbedder(nn.Module):
    """Embeds F numbers per event, NaN meaning missing: [B, T, F] -> [B, T, D]."""

    def __init__(self, config: ModelConfig, numerics: int) -> None:
        super().__init__()
        n, k = config.numeric_width, config.numeric_frequencies
        self.frequency = nn.Parameter(torch.randn(numerics, k))
        self.weight = nn.Parameter(torch.randn(numerics, 2 * k + 1, n) / math.sqrt(2 * k + 1))
        self.bias = nn.Parameter(torch.zeros(numerics, n))
        self.missing = nn.Parameter(torch.randn(numerics, n) * 0.1)
        self.project = nn.Linear(numerics * n, config.width, bias=False)

    def forward(self, numeric_BTF: Tensor) -> Tensor:
        missing_BTF = torch.isnan(numeric_BTF)
        # Angles stay in fp32: half precision would blur the phase of the fast frequencies.
        value_BTF = torch.where(missing_BTF, torch.zeros_like(numeric_BTF), numeric_BTF).float()
        angle = 2 * math.pi * value_BTF.unsqueeze(-1) * self.frequency.float()
        waves = torch.cat([angle.cos(), angle.sin(), value_BTF.unsqueeze(-1)], dim=-1).to(self.weight.dtype)
        # One small matrix product per field, written as a batched product over F.
        embedded = torch.einsum("btfk,fkn->btfn", waves, self.weight) + self.bias
        embedded = torch.where(missing_BTF.unsqueeze(-1), self.missing, F.relu(embedded))
        return self.project(embedded.flatten(2))


class TextEmbedder(nn.Module):
    """Projects distinct text vectors [U, E] and gathers one per event by index [B, T] -> [B, T, D]."""

    def __init__(self, config: ModelConfig, text_width: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(text_width, eps=1e-6)
        self.project = nn.Linear(text_width, config.width, bias=False)
        self.no_text = nn.Parameter(torch.randn(1, config.width) * 0.02)

    def forward(self, text_index_BT: Tensor, text_vectors_UE: Tensor) -> Tensor:
        projected_UD = self.project(self.norm(text_vectors_UE.to(self.project.weight.dtype)))
        return F.embedding(text_index_BT, torch.cat([self.no_text, projected_UD]))


class EventEmbedder(nn.Module):
    """Sums the embeddings of an event's categorical, numeric and text fields to [B, T, D]."""

    offset: Tensor

    def __init__(self, config: ModelConfig, inputs: InputShapes) -> None:
        super().__init__()
        offsets = [0]
        for cardinality in inputs.cardinalities[:-1]:
            offsets.append(offsets[-1] + cardinality)
        self.register_buffer("offset", torch.tensor(offsets), persistent=False)
        self.table = nn.Embedding(sum(inputs.cardinalities), config.width)
        self.numeric = NumericEmbedder(config, inputs.numerics)
        self.words = WordEncoder(config, inputs.words) if inputs.words else None
        text_width = self.words.width if self.words is not None else inputs.text_width
        self.text = TextEmbedder(config, text_width) if text_width else None
        self.norm = nn.RMSNorm(config.width, eps=1e-6)

    def forward(
        self,
        categorical_BTC: Tensor,
        numeric_BTF: Tensor,
        text_index_BT: Tensor | None = None,
        text_vectors_UE: Tensor | None = None,
        text_words_UW: Tensor | None = None,
    ) -> Tensor:
        x_BTD = self.table(categorical_BTC + self.offset).sum(dim=2) + self.numeric(numeric_BTF)
        if self.words is not None:
            assert text_words_UW is not None
            text_vectors_UE = self.words(text_words_UW)
        if self.text is not None:
            assert text_index_BT is not None and text_vectors_UE is not None
            x_BTD = x_BTD + self.text(text_index_BT, text_vectors_UE)
        return self.norm(x_BTD)
