"""Several networks of one shape as one: the mean of their raw outputs, in one graph."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from forewarn.model.network import SequenceModel


class Ensemble(nn.Module):
    """Members that differ by their seed alone; takes and gives what a `SequenceModel` takes and gives.

    Raw outputs are averaged before the link: the mean of logits stays as sharp as its members (Brown et al. 2005,
    doi 10.1016/j.inffus.2004.04.004, on why independent errors average out).
    """

    def __init__(self, members: Sequence[SequenceModel]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        first = members[0]
        self.config, self.inputs, self.head_specs = first.config, first.inputs, first.head_specs

    def member(self, number: int) -> SequenceModel:
        """One of the networks, counted round and round."""
        member = self.members[number % len(self.members)]
        assert isinstance(member, SequenceModel)
        return member

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
        inputs = (categorical, numeric, position, text_index, text_vectors, text_words, silence)
        raw = [member(*inputs) for member in self.members]
        return {name: sum(own[name] for own in raw) / len(raw) for name in raw[0]}
