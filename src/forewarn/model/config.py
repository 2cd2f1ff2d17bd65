"""Typed configuration of the network: what a user chooses (`ModelConfig`) and what the data dictates (the rest)."""

from __future__ import annotations

from dataclasses import dataclass

BACKBONES = ("transformer", "gru")


@dataclass
class ModelConfig:
    """Size and regularisation of the network; `conf/model/*.yaml` holds the named sizes."""

    name: str = "base"
    width: int = 256  # D, size of the residual stream
    layers: int = 6
    heads: int = 4  # query heads; width / heads is the head size
    kv_heads: int = 4  # key/value heads; fewer than `heads` is grouped-query attention
    mlp_width: int = 688  # hidden size of SwiGLU; 8/3 * width keeps the cost of a 4x MLP
    numeric_width: int = 16  # size of one numeric field's embedding before it is projected to `width`
    numeric_frequencies: int = 8  # learned frequencies per numeric field
    word_width: int = 128  # size of one word's embedding where the network learns its text encoder (text=learned)
    word_dropout: float = 0.1  # probability that a word of a text reads as unknown in training
    dropout: float = 0.1  # on both residual branches
    field_dropout: float = 0.1  # probability that a field of an event is hidden in training
    event_dropout: float = 0.1  # probability that all fields of a past event are hidden in training
    rotary_base: float = 10_000.0  # longest rotary wavelength is about 2 pi * rotary_base positions
    backbone: str = "transformer"  # what runs over the events: "transformer", or "gru" (causal, as many layers)
    ageing: bool = False  # hazards also read the seconds since the event, so that risk moves with silence

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise ValueError(
                f"model.backbone: found {self.backbone!r}, expected one of {', '.join(BACKBONES)}; use transformer"
            )
        for name in ("width", "layers", "heads", "kv_heads", "mlp_width", "numeric_width", "numeric_frequencies"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name}: found {getattr(self, name)}, expected at least 1; raise it")
        for name in ("dropout", "field_dropout", "event_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"model.{name}: found {getattr(self, name)}, expected a share from 0 to below 1")
        if self.rotary_base <= 1:
            raise ValueError(f"model.rotary_base: found {self.rotary_base}, expected more than 1; use 10000")
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(
                f"model.width={self.width}, model.heads={self.heads}: expected an even head size; "
                "choose a width that is an even multiple of heads"
            )
        if self.word_width < 1:
            raise ValueError(f"model.word_width: found {self.word_width}, expected at least 1; use 128")
        if self.heads % self.kv_heads:
            raise ValueError(
                f"model.kv_heads={self.kv_heads}: expected a divisor of model.heads={self.heads}; use {self.heads}"
            )


@dataclass(frozen=True)
class InputShapes:
    """What the fitted featurizer feeds the network."""

    cardinalities: tuple[int, ...]  # size of each categorical field's vocabulary, UNK and missing included
    numerics: int  # F
    text_width: int = 0  # E of a pre-trained encoder's vectors; 0 means that none is used
    words: int = 0  # size of the vocabulary of a learned text encoder, padding and UNK included; 0 means none


@dataclass(frozen=True)
class HeadSpec:
    """One predicted task: `kind` is hazard, classification or regression; `size` is K."""

    name: str
    kind: str
    size: int
    weight: float = 1.0
    prior: tuple[float, ...] = ()  # initial output bias: prior logits or log class shares
    center: float = 0.0  # regression: mean of the training values, what a raw output of 0 stands for
    spread: float = 1.0  # regression: their standard deviation, what a raw output of 1 adds to it
    competes_in: str | None = None  # hazard: the group of heads of which only the first onset comes; None is none

    def __post_init__(self) -> None:
        if self.kind not in ("hazard", "classification", "regression"):
            raise ValueError(f"task {self.name!r}: kind={self.kind!r}, expected hazard, classification or regression")
        if self.competes_in is not None and self.kind != "hazard":
            raise ValueError(f"task {self.name!r}: kind={self.kind!r}, expected hazard with competes_in; leave it out")
        if self.prior and len(self.prior) != self.size:
            raise ValueError(f"task {self.name!r}: {len(self.prior)} prior values, expected {self.size}")
