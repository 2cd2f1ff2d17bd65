"""Typed configuration of how histories become arrays."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class SequenceConfig:
    """Knobs of the featurizer; fitted values are kept apart, in the `Featurizer` itself."""

    max_length: int = 512  # events; a longer history is read in windows that overlap by half, when scored its last one
    min_count: int = 3  # training events a category needs to get a token of its own; rarer ones share UNK
    max_vocabulary: int = 5_000  # tokens per categorical field, the most frequent first
    fit_histories: int = (
        100_000  # training histories that vocabularies and quantiles are fitted on, a random part of more
    )
    knots: int = 64  # quantile knots of each numeric field's map to [-1, 1]
    rotary_time: float = 1.0  # positions gained per e-fold of silence; 0 turns time off in attention
    rotary_tau_s: float = 3_600.0  # seconds; a gap well below it adds nothing to the position

    def __post_init__(self) -> None:
        for name, least in (
            ("max_length", 1),
            ("min_count", 1),
            ("max_vocabulary", 1),
            ("fit_histories", 1),
            ("knots", 2),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"sequence.{name}: found {getattr(self, name)}, expected at least {least}; raise it")
        if self.rotary_tau_s <= 0:
            raise ValueError(f"sequence.rotary_tau_s: found {self.rotary_tau_s}, expected seconds above 0; use 3600")
