"""Causal pre-norm transformer over events: RMSNorm, SwiGLU, QK-norm, rotary time, no biases.

Histories are right-padded and attention is causal, so a real event never sees padding and no mask exists: the fused
attention kernels (Flash on GPU, one `Attention(is_causal=1)` node per layer in ONNX) stay eligible.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from forewarn.model.config import ModelConfig


def rotary_angles(position_BT: Tensor, inverse_frequency: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines [B, 1, T, head/2] of the rotary angles at real-valued positions, always in fp32.

    Half precision cannot hold a position above 2,048 to the nearest whole number.
    """
    angle = position_BT.float()[:, None, :, None] * inverse_frequency.float()
    return angle.cos(), angle.sin()


def rotate(x_BHTd: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates pairs (i, i + d/2) of each head by its angle (RoFormer, arXiv 2104.09864)."""
    first, second = x_BHTd.float().chunk(2, dim=-1)
    rotated = torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)
    return rotated.to(x_BHTd.dtype)


class HeadNorm(nn.RMSNorm):
    """RMSNorm of queries and keys in their own precision: a kernel is fused only where input and weight share one."""

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class Attention(nn.Module):
    """Causal self-attention with normalised, rotated queries and keys."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads = config.heads, config.kv_heads
        self.head_width = config.width // config.heads
        self.query = nn.Linear(config.width, config.heads * self.head_width, bias=False)
        self.key = nn.Linear(config.width, config.kv_heads * self.head_width, bias=False)
        self.value = nn.Linear(config.width, config.kv_heads * self.head_width, bias=False)
        self.query_norm = HeadNorm(self.head_width, eps=1e-6)
        self.key_norm = HeadNorm(self.head_width, eps=1e-6)
        self.output = nn.Linear(config.heads * self.head_width, config.width, bias=False)

    def forward(self, x_BTD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, _ = x_BTD.shape
        q_BTHd = self.query_norm(self.query(x_BTD).view(batch, length, self.heads, self.head_width))
        k_BTHd = self.key_norm(self.key(x_BTD).view(batch, length, self.kv_heads, self.head_width))
        v_BTHd = self.value(x_BTD).view(batch, length, self.kv_heads, self.head_width)
        y_BHTd = F.scaled_dot_product_attention(
            rotate(q_BTHd.transpose(1, 2), cos, sin),
            rotate(k_BTHd.transpose(1, 2), cos, sin),
            v_BTHd.transpose(1, 2),
            is_causal=True,
            enable_gqa=self.kv_heads < self.heads,
        )
        return self.output(y_BHTd.transpose(1, 2).reshape(batch, length, self.heads * self.head_width))


class SwiGLU(nn.Module):
    """Gated feed-forward layer (Shazeer 2020, arXiv 2002.05202)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(config.width, config.mlp_width, bias=False)
        self.up = nn.Linear(config.width, config.mlp_width, bias=False)
        self.down = nn.Linear(config.mlp_width, config.width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x_BTD)) * self.up(x_BTD))


class Block(nn.Module):
    """One pre-norm transformer layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.width, eps=1e-6)
        self.attention = Attention(config)
        self.mlp_norm = nn.RMSNorm(config.width, eps=1e-6)
        self.mlp = SwiGLU(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x_BTD = x_BTD + self.dropout(self.attention(self.attention_norm(x_BTD), cos, sin))
        return x_BTD + self.dropout(self.mlp(self.mlp_norm(x_BTD)))


class Transformer(nn.Module):
    """Maps event embeddings [B, T, D] and rotary positions [B, T] to states [B, T, D]."""

    inverse_frequency: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        exponent = torch.arange(0, config.width // config.heads, 2) / (config.width // config.heads)
        self.register_buffer("inverse_frequency", config.rotary_base**-exponent, persistent=False)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, eps=1e-6)

    def forward(self, x_BTD: Tensor, position_BT: Tensor) -> Tensor:
        cos, sin = rotary_angles(position_BT, self.inverse_frequency)
        for block in self.blocks:
            x_BTD = block(x_BTD, cos, sin)
        return self.norm(x_BTD)
