"""The ageing head: the state after the last event as it reads when nothing has come for a while.

risk(t_i + s) = head(state_i + change(state_i, s)), so a risk moves with the clock and no run of the backbone.

- The backbone never sees the silence: a state that was stored stays what it is, however long it is kept.
- Every feature of a silence is 0 at s = 0, and so is the change: a score without silence is exactly that of the network
  without the head. At initialisation the change is 0 for any silence.
- The change is a product of what the state says and what the silence says, for silence means one thing after
  "resolved" and another after a question that nobody answered.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from forewarn.model.config import ModelConfig

SILENCE_TAU_S = 60.0  # seconds; a silence well below it is none


class AgeingHead(nn.Module):
    """Changes states [B, T, D] by the seconds of silence [B, T] after each event, to [B, T, D]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.randn(config.numeric_frequencies))
        self.silence = nn.Linear(2 * config.numeric_frequencies + 1, config.width, bias=False)
        self.state = nn.Linear(config.width, config.width)
        self.change = nn.Linear(config.width, config.width, bias=False)
        nn.init.zeros_(self.change.weight)

    def forward(self, state_BTD: Tensor, silence_BT: Tensor) -> Tensor:
        # Seconds and angles stay in fp32: half precision ends at 18 hours, and blurs the phase of fast frequencies.
        # Counted in powers of ten, so that a period of the features tells an hour from a day and six hours from twelve.
        age_BT1 = (torch.log1p(silence_BT.float() / SILENCE_TAU_S) / math.log(10)).unsqueeze(-1)
        angle = 2 * math.pi * age_BT1 * self.frequency.float()
        waves = torch.cat([age_BT1, angle.sin(), 1 - angle.cos()], dim=-1).to(state_BTD.dtype)
        return state_BTD + self.change(F.silu(self.state(state_BTD)) * self.silence(waves))
