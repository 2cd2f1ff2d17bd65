"""The ageing head: how the state after the last event reads when nothing has come for a while.

risk(t_i + s) = head(state_i + change(state_i, s)), so a risk moves with the clock and no run of the backbone. Heads are
linear, so what a silence changes of their raw outputs is a term of its own, which calibration may scale.

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
    """What the seconds of silence [B, T] after each event change of states [B, T, D]: [B, T, D].

    Several silences of each event at once are [B, T, S], for states [B, T, 1, D], and give [B, T, S, D].
    """

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
        return self.change(F.silu(self.state(state_BTD)) * self.silence(waves))
