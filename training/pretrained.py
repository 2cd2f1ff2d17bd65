"""Starting from another run: its featurizer and the body of its network, under new heads.

Self-supervised pre-training is a run like any other, on a target that needs no labels (next event, time to the end);
fine-tuning is a run with `pretrained=` its folder. The vocabularies come along, or the weights would mean nothing.
"""

from __future__ import annotations

from pathlib import Path

from forewarn.model import Ensemble, SequenceModel
from forewarn.sequence import Featurizer

BODY = ("embedder", "backbone")


def check_featurizer(featurizer: Featurizer, hidden: set[str], run: str) -> None:
    """ValueError when the earlier run read a field that is hidden from this one."""
    read = {*featurizer.vocabularies, *featurizer.attributes}
    if leaked := sorted(read & hidden):
        raise ValueError(
            f"pretrained: found inputs {', '.join(leaked)} in {run}, expected none that this run's target is "
            f"defined by or excludes; train that run again with data.inputs.exclude=[{','.join(leaked)}]"
        )


def start_from(network: SequenceModel, source: SequenceModel | Ensemble, member: int, run: Path | str) -> None:
    """Copies embedder and backbone of a trained network (of an ensemble: one member) into a new one."""
    if isinstance(source, Ensemble):
        source = source.member(member)
    if source.config != network.config:
        different = [
            f"{name}={value!r} (there {getattr(source.config, name)!r})"
            for name, value in vars(network.config).items()
            if value != getattr(source.config, name) and "dropout" not in name and name not in ("name", "ageing")
        ]
        if different:
            raise ValueError(
                f"pretrained: found a network of another shape in {run}: {', '.join(different)}; "
                "choose the model it was trained with"
            )
    for part in BODY:
        getattr(network, part).load_state_dict(getattr(source, part).state_dict())
