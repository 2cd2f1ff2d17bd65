"""Low-rank adaptation (LoRA, Hu et al. 2021, arXiv 2106.09685): a frozen linear map plus a learned one of small rank.

Thirty lines instead of a package, because all that is needed is to put it in and to merge it away again.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class LoraLinear(nn.Module):
    """`linear(x) + up @ down @ x`, of which `down` [R, in] and `up` [out, R] learn; at the start it is `linear`."""

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, linear.in_features) / math.sqrt(linear.in_features))
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + (x @ self.down.T) @ self.up.T

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The linear map itself, with what was learned added to its weight in place."""
        self.linear.weight += self.up @ self.down
        return self.linear


def add_lora(module: nn.Module, rank: int) -> None:
    """Freezes a module and puts a `LoraLinear` in the place of each of its linear maps."""
    module.requires_grad_(False)
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, LoraLinear(child, rank))


def merge_lora(module: nn.Module) -> None:
    """Puts plain linear maps that compute the same back in the place of every `LoraLinear`."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoraLinear):
                setattr(parent, name, child.merged())
