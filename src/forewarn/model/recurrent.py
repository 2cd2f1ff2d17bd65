"""A causal GRU over events, in the place of the transformer: the recurrent baseline that event sequences call for.

GRU-based models are best on most sets of EBES (KDD 2025), so one is always in the table. Time reaches it through the
gaps among the numeric inputs; it has no use for rotary positions.
"""

from __future__ import annotations

from torch import Tensor, nn

from forewarn.model.config import ModelConfig


class Recurrent(nn.Module):
    """Maps event embeddings [B, T, D] to states [B, T, D]; takes positions [B, T] like the transformer, unread."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        between = config.dropout if config.layers > 1 else 0.0
        self.gru = nn.GRU(config.width, config.width, config.layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.RMSNorm(config.width, eps=1e-6)

    def forward(self, x_BTD: Tensor, position_BT: Tensor) -> Tensor:
        state_BTD, _ = self.gru(x_BTD)
        return self.norm(self.dropout(state_BTD))
