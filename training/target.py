"""The target of a command: the one it names, or the data set's default."""

from __future__ import annotations

from typing import Protocol

from forewarn.events import DataConfig
from forewarn.targets import TargetSpec


class Targeted(Protocol):
    """A command's configuration that names a data set and perhaps a target."""

    data: DataConfig
    target: str | None


def load_target(config: Targeted) -> TargetSpec:
    """The target named on the command line, or the data set's default."""
    name = config.target or config.data.default_target
    if name is None:
        raise ValueError(
            "target: found nothing, expected a name in conf/targets or the path of a target YAML; "
            "for example target=my_target.yaml"
        )
    return TargetSpec.load(name)
