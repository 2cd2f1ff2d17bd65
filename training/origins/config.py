"""The typed configuration of `python -m training.rolling`: a training's own, and where its origins lie."""

from __future__ import annotations

from dataclasses import dataclass

from hydra.core.config_store import ConfigStore

from training.config import TrainConfig


@dataclass
class RollingConfig(TrainConfig):
    """`python -m training.rolling`: a training at several origins, each tested on what starts before the next one."""

    origins: int = 4  # cuts, each with a run of its own
    first: float = 0.5  # share of the histories that start before the first cut; the rest is tested, in equal parts
    tuning: bool = False  # true lays all origins before the protocol's own test cut, and reads nothing after it

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.origins < 1:
            raise ValueError(f"origins: found {self.origins}, expected at least 1; use 4")
        if not 0 < self.first < 1:
            raise ValueError(f"first: found {self.first}, expected a share between 0 and 1; use 0.5")
        if not self.measure:
            raise ValueError("measure: found false, expected true, since every origin is tested; leave it out")


ConfigStore.instance().store(name="rolling_schema", node=RollingConfig)
