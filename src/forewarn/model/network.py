"""The sequence model: embedder, transformer or GRU, one linear head per task; one causal pass predicts every prefix.

With `model.ageing` the heads of hazards also tell what some silence changes (ageing.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from forewarn.model.ageing import AgeingHead
from forewarn.model.config import HeadSpec, InputShapes, ModelConfig
from forewarn.model.embedder import EventEmbedder
from forewarn.model.recurrent import Recurrent
from forewarn.model.transformer import Attention, SwiGLU, Transformer
from forewarn.model.words import WordEncoder

CHANGE = ".change"  # ends the name of what silence adds to a task's raw outputs


class SequenceModel(nn.Module):
    """Predicts every task after every event: inputs of `forewarn.sequence.collate` -> {task: [B, T, K]} raw outputs.

    Raw means logits for hazard and classification tasks and the transformed value for regression;
    `forewarn.model.Scores` turns them into what a user reads. With ageing and a silence there is also
    {task.change: [B, T, K]} of every hazard: what the silence adds to its raw outputs.
    """

    def __init__(self, config: ModelConfig, inputs: InputShapes, heads: Sequence[HeadSpec]) -> None:
        super().__init__()
        self.config, self.inputs, self.head_specs = config, inputs, tuple(heads)
        self.embedder = EventEmbedder(config, inputs)
        self.backbone = Transformer(config) if config.backbone == "transformer" else Recurrent(config)
        self.heads = nn.ModuleDict({head.name: nn.Linear(config.width, head.size) for head in heads})
        self.init_weights()
        # Made after all others have their weights, so that they start as they do without it.
        self.ageing = AgeingHead(config) if config.ageing else None

    def init_weights(self) -> None:
        """Initialises all weights: normal(0, 1/sqrt(fan in)), residual outputs scaled down with depth, prior biases."""
        residual = 1 / math.sqrt(2 * self.config.layers)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=1 / math.sqrt(module.in_features))
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=1 / math.sqrt(len(self.inputs.cardinalities)))
        for module in self.modules():
            if isinstance(module, Attention):
                module.output.weight.data.mul_(residual)
            elif isinstance(module, SwiGLU):
                module.down.weight.data.mul_(residual)
            elif isinstance(module, WordEncoder):
                module.init_table()
        for head in self.head_specs:
            linear = self.heads[head.name]
            assert isinstance(linear, nn.Linear)
            linear.weight.data.mul_(0.1)
            linear.bias.data.copy_(torch.tensor(head.prior) if head.prior else torch.zeros(head.size))

    def forward(
        self,
        categorical: Tensor,
        numeric: Tensor,
        position: Tensor,
        text_index: Tensor | None = None,
        text_vectors: Tensor | None = None,
        text_words: Tensor | None = None,
        silence: Tensor | None = None,
    ) -> dict[str, Tensor]:
        state_BTD = self.states(categorical, numeric, position, text_index, text_vectors, text_words)
        raw = self.read(state_BTD)
        if silence is not None:
            raw |= {f"{name}{CHANGE}": change for name, change in self.changes(state_BTD, silence).items()}
        return raw

    def states(
        self,
        categorical: Tensor,
        numeric: Tensor,
        position: Tensor,
        text_index: Tensor | None = None,
        text_vectors: Tensor | None = None,
        text_words: Tensor | None = None,
    ) -> Tensor:
        """The state after every event [B, T, D]: all that the heads know of the history."""
        x_BTD = self.embedder(categorical, numeric, text_index, text_vectors, text_words)
        return self.backbone(x_BTD, position)

    def read(self, state_BTD: Tensor) -> dict[str, Tensor]:
        """Raw outputs of every task from states, right after their events."""
        return {name: head(state_BTD) for name, head in self.heads.items()}

    def changes(self, state_BTD: Tensor, silence_BT: Tensor) -> dict[str, Tensor]:
        """What so many seconds of silence add to the raw outputs of every hazard [B, T, K]; nothing without ageing.

        Several silences of each event at once, [B, T, S], give [B, T, S, K].
        """
        if self.ageing is None:
            return {}
        change = self.ageing(state_BTD if silence_BT.ndim == 2 else state_BTD.unsqueeze(2), silence_BT)
        hazards = [head.name for head in self.head_specs if head.kind == "hazard"]
        return {name: F.linear(change, self.heads[name].weight) for name in hazards}  # type: ignore[arg-type]
