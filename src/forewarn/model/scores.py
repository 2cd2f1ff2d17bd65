"""From raw outputs to scores: calibration, then the link of each kind of task.

- hazard: discrete-time hazards lambda_k = sigmoid(logit_k); risk P(<= h_k) = 1 - prod_{j<=k} (1 - lambda_j), which
  never falls with the horizon by construction (Gensheimer and Narasimhan 2019, PeerJ 7:e6257).
- competing hazards: lambda_ck = sigmoid(logit_ck) is the probability that c comes first, in bin k, given that none came
  before it. So with S_k = prod_{j<=k} (1 - sum_c lambda_cj) the risk of c is its cumulative incidence,
  P(c first, <= h_k) = sum_{j<=k} lambda_cj S_{j-1} (Aalen and Johansen 1978, Scand. J. Statist. 5:141-150), exact
  however the hazards run within a bin. A bin's sum that noise lifts above 1 is scaled to 1.
- classification: softmax.
- regression: the standardised output back in the task's (transformed) unit; undoing a log is the scorer's.

Calibration is an affine map of the raw outputs (Platt scaling, vector scaling for classes), folded into the graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from forewarn.model.config import HeadSpec
from forewarn.model.ensemble import Ensemble
from forewarn.model.network import CHANGE, SequenceModel

LEAST_LOG_PROBABILITY = math.log(1e-3)  # that trees read of a class


class Calibration(NamedTuple):
    """Affine map of a task's raw outputs: `scale * raw + shift`, one pair per output.

    What silence adds to a hazard's raw outputs is added as it is, or times `ageing`, one factor per output.
    """

    scale: list[float]
    shift: list[float]
    ageing: list[float] | None = None

    @classmethod
    def neutral(cls, head: HeadSpec) -> Calibration:
        """The map of an uncalibrated task; a regression's takes it from standard units to its own."""
        return cls([head.spread] * head.size, [head.center] * head.size)


def link(kind: str, raw: Tensor) -> Tensor:
    """Turns a task's raw (calibrated) outputs [..., K] into scores [..., K] in fp32."""
    raw = raw.float()
    if kind == "hazard":
        return -torch.expm1(F.logsigmoid(-raw).cumsum(dim=-1))
    return raw.softmax(dim=-1) if kind == "classification" else raw


def link_competing(raw: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Turns the raw (calibrated) outputs [..., K] of competing hazards into their cumulative incidences, in fp32."""
    first_CK = torch.stack(tuple(raw)).float().sigmoid()  # C the causes, before all other axes
    first_CK = first_CK / first_CK.sum(dim=0).clamp(min=1)
    # A bin that surely holds an onset would leave log(0); what the clamp keeps is an ulp of fp32.
    quiet_K = torch.log1p(-first_CK.sum(dim=0).clamp(max=1 - 2**-24))
    before_K = F.pad(quiet_K.cumsum(dim=-1), (1, 0))[..., :-1].exp()
    return tuple((first_CK * before_K).cumsum(dim=-1).unbind(0))


class Scores(nn.Module):
    """The exported network: inputs of `collate` -> one score tensor [B, T, K] per task, in the order of the tasks."""

    def __init__(self, model: SequenceModel | Ensemble, calibration: dict[str, Calibration] | None = None) -> None:
        super().__init__()
        self.model = model
        for head in model.head_specs:
            scale, shift, ageing = (calibration or {}).get(head.name, Calibration.neutral(head))
            self.register_buffer(f"scale_{head.name}", torch.tensor(scale, dtype=torch.float32))
            self.register_buffer(f"shift_{head.name}", torch.tensor(shift, dtype=torch.float32))
            if model.config.ageing and head.kind == "hazard":
                factor = torch.ones(head.size) if ageing is None else torch.tensor(ageing, dtype=torch.float32)
                self.register_buffer(f"ageing_{head.name}", factor)

    def forward(
        self,
        categorical: Tensor,
        numeric: Tensor,
        position: Tensor,
        text_index: Tensor | None = None,
        text_vectors: Tensor | None = None,
        text_words: Tensor | None = None,
        silence: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        return self._linked(self.logits(categorical, numeric, position, text_index, text_vectors, text_words, silence))

    def logits(
        self,
        categorical: Tensor,
        numeric: Tensor,
        position: Tensor,
        text_index: Tensor | None = None,
        text_vectors: Tensor | None = None,
        text_words: Tensor | None = None,
        silence: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Calibrated raw outputs [B, T, K] in fp32, one per task: what `link` makes scores of."""
        raw = self.model(categorical, numeric, position, text_index, text_vectors, text_words, silence)
        return tuple(self._calibrated(head.name, raw) for head in self.model.head_specs)

    def _calibrated(self, name: str, raw: dict[str, Tensor]) -> Tensor:
        logits = raw[name].float() * self.get_buffer(f"scale_{name}") + self.get_buffer(f"shift_{name}")
        if (change := raw.get(f"{name}{CHANGE}")) is not None:
            logits = logits + change.float() * self.get_buffer(f"ageing_{name}")
        return logits

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs, in order."""
        return [head.name for head in self.model.head_specs]

    def _linked(self, logits: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        specs = self.model.head_specs
        scores = {head.name: link(head.kind, own) for head, own in zip(specs, logits, strict=True)}
        for group in dict.fromkeys(head.competes_in for head in specs if head.competes_in is not None):
            competing = {head.name: own for head, own in zip(specs, logits, strict=True) if head.competes_in == group}
            scores |= zip(competing, link_competing(list(competing.values())), strict=True)
        return tuple(scores.values())


def _comparable(kind: str, logits: Tensor) -> Tensor:
    return logits.log_softmax(dim=-1).clamp(min=LEAST_LOG_PROBABILITY) if kind == "classification" else logits


class ScoresAndLogits(Scores):
    """The scores, then every task's calibrated raw outputs: what trees behind the network read of it.

    Those of a classification are log probabilities, none below that of one in a thousand: a softmax leaves the common
    level of its logits to chance, and little data what a network says of classes that it hardly met. What trees learn
    of one network's chance is wrong for another's.
    """

    def forward(
        self,
        categorical: Tensor,
        numeric: Tensor,
        position: Tensor,
        text_index: Tensor | None = None,
        text_vectors: Tensor | None = None,
        text_words: Tensor | None = None,
        silence: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        logits = self.logits(categorical, numeric, position, text_index, text_vectors, text_words, silence)
        said = zip(self.model.head_specs, logits, strict=True)
        return (*self._linked(logits), *(_comparable(head.kind, own) for head, own in said))

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs, in order."""
        return [*super().output_names, *(f"{head.name}.logits" for head in self.model.head_specs)]
