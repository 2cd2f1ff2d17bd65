"""The network in plain torch: embedder, causal transformer (or GRU), heads.

Shape legend, used as name suffixes throughout:
``B`` histories in the batch, ``T`` events (time), ``D`` model width, ``H`` attention heads, ``C`` categorical fields,
``F`` numeric fields, ``U`` distinct texts in the batch, ``W`` words of a text, ``E`` width of a text or word vector,
``K`` horizons, classes or 1.
"""

from __future__ import annotations

from forewarn.model.config import HeadSpec, InputShapes, ModelConfig
from forewarn.model.ensemble import Ensemble
from forewarn.model.network import CHANGE, SequenceModel
from forewarn.model.scores import Scores, ScoresAndLogits

__all__ = ["CHANGE", "Ensemble", "HeadSpec", "InputShapes", "ModelConfig", "Scores", "ScoresAndLogits", "SequenceModel"]
