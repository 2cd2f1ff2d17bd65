"""Typed configuration of the benchmarks: what a suite measures, and on what.

A suite is one file in conf/suite/; everything else is a property of the run. Times are seconds of one repeat of one
row, so the length of a run is about repeats x (rows x (seconds + 2 raw.seconds) + raw cells x raw.seconds).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

RAGGED = "ragged"


def workload_name(events: int | None) -> str:
    """How results call the histories of exactly so many events; None is the simulator's own mix of lengths."""
    return RAGGED if events is None else f"{events} events"


@dataclass
class RawConfig:
    """The raw runtime: the bundle's sequence graph alone, on arrays that are ready."""

    lengths: list[int] = field(default_factory=lambda: [64])  # events per history, one workload each
    ragged: bool = True  # also the simulator's own mix of lengths, sorted by length as an offline scorer would
    batch_sizes: list[int] = field(default_factory=lambda: [1, 4, 16, 32, 64])  # histories per graph call
    spinning: list[bool] = field(default_factory=lambda: [False, True])  # whether idle threads burn their core
    seconds: float = 0.5  # of one repeat of one cell, at least one graph call; before and after every HTTP row too
    ceiling: bool = True  # also measure one large matrix product, the machine's own limit


@dataclass
class RowConfig:
    """One kind of HTTP load; every entry of `connections` makes a row."""

    histories: int = 1  # histories per request
    connections: list[int] = field(default_factory=lambda: [1])  # requests in flight, closed loop
    events: int | None = 64  # events per history; null for the simulator's own mix of lengths
    trajectory: bool = True  # whether the answer holds the risk after every event
    cold_text: bool = False  # every text is new to the service, so that its encoder has to run


@dataclass
class SuiteConfig:
    """What one run measures; rows and raw cells take turns in a new random order in every repeat."""

    name: str = "smoke"
    repeats: int = 3
    pool: int = 64  # distinct histories per workload
    seconds: float = 2.5  # of one repeat of one row; requests in flight at its end are finished and counted
    raw: RawConfig = field(default_factory=RawConfig)
    http: list[RowConfig] = field(default_factory=list)  # none: the service is not started

    def check(self) -> SuiteConfig:
        """Returns self; raises ValueError naming the first setting that cannot be used."""
        least = {"repeats": 3, "pool": 1, "seconds": 0.0, "raw.seconds": 0.0}
        for name, bound in least.items():
            found = self.raw.seconds if name == "raw.seconds" else getattr(self, name)
            if found < bound:
                raise ValueError(f"suite.{name}: found {found}, expected at least {bound}; raise it")
        sizes = [("raw.lengths", self.raw.lengths), ("raw.batch_sizes", self.raw.batch_sizes)]
        sizes += [(f"http[{i}].connections", row.connections) for i, row in enumerate(self.http)]
        sizes += [(f"http[{i}].histories", [row.histories]) for i, row in enumerate(self.http)]
        for name, values in sizes:
            if min(values, default=1) < 1:
                raise ValueError(f"suite.{name}: found {min(values)}, expected at least 1; correct it")
        if not (self.raw.batch_sizes and self.raw.spinning and self.workloads):
            raise ValueError("suite.raw: found nothing to run, expected batch_sizes, spinning and a workload; add them")
        for i, row in enumerate(self.http):
            if row.events not in self.workloads:
                raise ValueError(
                    f"suite.http[{i}].events: found {row.events}, expected one of {self.workloads}, which the raw "
                    "runtime is measured on; add it to suite.raw.lengths"
                )
        return self

    @property
    def workloads(self) -> list[int | None]:
        """Events per history of every workload, None for the ragged one."""
        return [*self.raw.lengths, *([None] if self.raw.ragged else [])]


@dataclass
class BenchConfig:
    """`python -m benchmarks.run`: one suite on one bundle."""

    suite: SuiteConfig = field(default_factory=SuiteConfig)
    bundle: str | None = None  # folder of the bundle; null builds an untrained one of size `model`
    model: str = "base"  # a name in conf/model, where no bundle is given
    text: str = "minilm"  # a name in conf/text, where no bundle is given; none for a model without text
    provider: str = "cpu"  # ONNX Runtime provider, of the raw runtime and of the service: cpu or cuda
    precision: str = "fp32"  # fp32 or fp16
    threads: int = 0  # threads of one graph call, raw and served; 0 leaves it to ONNX Runtime
    serve: dict[str, Any] = field(default_factory=dict)  # further settings of serving.run: +serve.token_budget=2048
    seed: int = 0  # of the load, the untrained weights and the order of measurements
    cache: str = "runs/bench"  # folder of untrained bundles, kept by content
    out: str = "benchmarks/results"  # folder that the result file and its table go to


def load(config: DictConfig) -> BenchConfig:
    """Typed and checked settings of a composed configuration; ValueError names what is wrong."""
    with open_dict(config):
        config.pop("hydra", None)
    try:
        loaded: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(BenchConfig), config))
    except OmegaConfBaseException as error:
        raise ValueError(f"{error.full_key}: {str(error).splitlines()[0]}; correct or remove it") from error
    assert isinstance(loaded, BenchConfig)
    loaded.suite.check()
    for name in ("bundle", "host", "port", "provider", "precision", "threads"):
        if name in loaded.serve:
            raise ValueError(
                f"serve.{name}: found {loaded.serve[name]!r}, expected nothing; the suite itself sets {name}"
            )
    return loaded


ConfigStore.instance().store(name="bench_schema", node=BenchConfig)
