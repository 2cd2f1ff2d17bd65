"""The teacher of a distillation: a finished run, whose bundle says what a network of this run learns to say.

A student reads what its teacher read, through the teacher's own featurizer, and answers the same question on the same
split. A teacher of another split has learned from rows that this run is checked or measured on, and would pass on what
it knows of them; so everything that decides the rows must be the same in both, and a difference is refused by name.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from forewarn.bundle import Bundle
from forewarn.bundle.manifest import MANIFEST
from training.config import TrainConfig, saved_config
from training.labelled import LabelledSplits

FIELD = "distillation.teacher"
_ROWS = ("by", "clock", "inputs")  # settings of `data` that decide what a network reads


def open_teacher(config: TrainConfig) -> Bundle | None:
    """The bundle of the teacher's run, None without one; ValueError names what is missing or set otherwise there."""
    if config.distillation.teacher is None:
        return None
    run = Path(config.distillation.teacher)
    if not (run / "bundle" / MANIFEST).is_file():
        raise ValueError(
            f"{FIELD}: found no bundle in {run}, expected the folder of a finished run; correct the name, or finish "
            f"that run with python -m training.train resume=true run={run}"
        )
    saved = saved_config(run)
    if saved.refit:
        raise ValueError(
            f"{FIELD}: found refit=true in {run}, expected a teacher that knows nothing of the validation rows, by "
            "which its student is chosen; train the teacher with refit=false, the student may have refit=true"
        )
    there, own = _settings(saved), _settings(config)
    for name, value in there.items():
        if own[name] != value:
            raise ValueError(
                f"{FIELD}: found {name}={value} in {run}, expected this run's {own[name]}, for a student reads and is "
                f"asked what its teacher was; give {name}={value}, or another teacher"
            )
    return Bundle.load(run / "bundle")


def check_teacher(teacher: Bundle, splits: LabelledSplits, run: str) -> None:
    """ValueError when a teacher answers another question, or learned from other data or another split of it."""
    cut = splits.assignment.cut
    own = {
        "target": splits.target.name,
        "target_hash": splits.target.hash,
        "fingerprint": splits.store.fingerprint,
        "cut": cut.isoformat() if cut is not None else None,
        "assignment": splits.assignment.counts,
    }
    for name, value in own.items():
        if (found := teacher.manifest.data[name]) != value:
            raise ValueError(
                f"{FIELD}: found {name} {found} in {run}, expected this run's {value}, for a teacher must know nothing "
                "of the rows that its student is measured on; give the teacher's target, data and split, or train a "
                "teacher on these"
            )


def _settings(config: TrainConfig) -> dict[str, Any]:
    """What must be set alike in both runs, under its name on the command line."""
    sections = {
        "protocol": asdict(config.protocol), "sequence": asdict(config.sequence), "text": config.text.deciding()
    }  # fmt: skip
    settings = {f"data.{name}": value for name, value in asdict(config.data).items() if name in _ROWS}
    settings |= {f"data.inputs.{name}": value for name, value in settings.pop("data.inputs").items()}
    for section, own in sections.items():
        settings |= {f"{section}.{name}": value for name, value in own.items()}
    return settings
