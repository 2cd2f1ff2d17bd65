"""A text encoder that the network learns from nothing but its own task, for texts that no pre-trained one knows.

Word embeddings, one convolution over three neighbouring words for their order, and two summaries of a text: the mean of
its words, and the largest of each feature, so that one decisive word is not averaged away. Far smaller than a
transformer over words, on purpose: it has to learn from the labels of a few thousand histories. Pooling by learned
attention was tried in place of the maximum and overfitted (docs/decisions/0009).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from forewarn.model.config import ModelConfig

_BELOW_ALL = -1e4  # what padding counts as beside the largest of a feature; within reach of fp16


class WordEncoder(nn.Module):
    """Encodes texts of word ids [U, W], padded with 0, to vectors [U, 2 E]; a text's vector ignores its padding."""

    def __init__(self, config: ModelConfig, words: int) -> None:
        super().__init__()
        self.width = 2 * config.word_width
        self.table = nn.Embedding(words, config.word_width)
        self.neighbours = nn.Conv1d(config.word_width, config.word_width, 3, padding=1)
        self.dropout = nn.Dropout(config.dropout)

    def init_table(self) -> None:
        """Starts all words nearly alike: a word that means nothing stays so, and texts are harder to learn by heart."""
        nn.init.normal_(self.table.weight, std=0.005)

    def forward(self, words_UW: Tensor) -> Tensor:
        real_UW1 = (words_UW > 0).unsqueeze(-1)
        x_UWE = self.dropout(self.table(words_UW)) * real_UW1
        x_UWE = (x_UWE + F.silu(self.neighbours(x_UWE.transpose(1, 2)).transpose(1, 2))) * real_UW1
        mean_UE = x_UWE.sum(dim=1) / real_UW1.sum(dim=1).clamp(min=1)
        largest_UE = x_UWE.masked_fill(~real_UW1, _BELOW_ALL).amax(dim=1) * real_UW1.any(dim=1)
        return torch.cat([mean_UE, largest_UE], dim=-1)
