"""A causal GRU over events, in the place of the transformer: the recurrent baseline that event sequences call for.

GRU-based models are best on most sets of EBES (KDD 2025), so one is always in the table. Time reaches it through the
gaps among the numeric inputs; it has no use for rotary positions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from forewarn.model.config import ModelConfig


@torch.library.custom_op("forewarn::gru", mutates_args=())
def gru_layer(x_BTD: Tensor, input_GD: Tensor, state_GD: Tensor, input_bias_G: Tensor, state_bias_G: Tensor) -> Tensor:
    """One layer of torch's GRU as an operator of its own, G = 3 D: torch.export unrolls its own over the events.

    An exporter that knows this operator's name keeps one node for any number of events.
    """
    start_1BD = x_BTD.new_zeros(1, x_BTD.shape[0], state_GD.shape[1])
    weights = [input_GD, state_GD, input_bias_G, state_bias_G]
    return torch.gru(x_BTD, start_1BD, weights, True, 1, 0.0, False, False, True)[0]


@gru_layer.register_fake
def _(x_BTD: Tensor, input_GD: Tensor, state_GD: Tensor, input_bias_G: Tensor, state_bias_G: Tensor) -> Tensor:
    return x_BTD.new_empty(x_BTD.shape[0], x_BTD.shape[1], state_GD.shape[1])


class Recurrent(nn.Module):
    """Maps event embeddings [B, T, D] to states [B, T, D]; takes positions [B, T] like the transformer, unread."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.GRU(config.width, config.width, batch_first=True) for _ in range(config.layers))
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.RMSNorm(config.width, eps=1e-6)

    def forward(self, x_BTD: Tensor, position_BT: Tensor) -> Tensor:
        for layer in self.layers:
            if torch.compiler.is_exporting():
                weights = (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0)
                x_BTD = gru_layer(x_BTD, *weights)
            else:
                x_BTD = layer(x_BTD)[0]
            x_BTD = self.dropout(x_BTD)
        return self.norm(x_BTD)
