"""Typed configuration of training, evaluation and export; every knob of `conf/` has its type and default here."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import MISSING, DictConfig, MissingMandatoryValue, OmegaConf, open_dict

from forewarn.events.config import DataConfig
from forewarn.model import ModelConfig
from forewarn.sequence import SequenceConfig
from forewarn.targets import ProtocolConfig
from forewarn.text import TextConfig
from training.losses import WEIGHTINGS
from training.results.claims import SuiteConfig
from training.weights import WeightsConfig

LINT = ("warn", "refuse", "off")
PRECISIONS = ("fp32", "fp16")  # of graphs
CANDIDATES = 8  # parameter sets that the search for LightGBM knows
CONF = Path(__file__).resolve().parent.parent / "conf"
SAVED = "config.yaml"  # a run's configuration, in its folder


@dataclass
class OptimConfig:
    """The optimiser and the batches it sees."""

    learning_rate: float = 5e-4  # peak rate of AdamW; each size in conf/model brings its own
    weight_decay: float = 0.05
    beta2: float = 0.98
    warmup: float = 0.05  # share of all steps spent warming up
    clip: float = 1.0  # largest gradient norm
    token_budget: int = 512  # events per batch, padding included; a GPU wants 16384 or more
    weighting: str = "prefix"  # who counts in the loss: every "prefix" alike, or every "history" alike
    ema: float = 0.98  # decay per step of the averaged weights that are kept; 0 keeps the raw weights

    def __post_init__(self) -> None:
        if self.weighting not in WEIGHTINGS:
            raise ValueError(f"optim.weighting: found {self.weighting!r}, expected one of {WEIGHTINGS}; use prefix")


@dataclass
class TrainerConfig:
    """Where and how long to train; passed on to Lightning, nothing else knows the hardware."""

    accelerator: str = "cpu"
    devices: Any = 1  # number of processes, or "auto"
    strategy: str = "auto"
    precision: str = "32-true"
    epochs: int = 8  # the learning rate falls over all of them
    least_steps: int = 200  # of all epochs together: an epoch reads small data several times; 0 reads it once
    patience: int = 3  # epochs without a better validation loss before training stops
    workers: int = 0  # data-loading processes
    threads: int = 0  # CPU threads of torch, 0 leaves the choice to torch
    deterministic: bool = True
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("epochs", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"trainer.{name}: found {getattr(self, name)}, expected at least 1; raise it")
        if self.least_steps < 0:
            raise ValueError(f"trainer.least_steps: found {self.least_steps}, expected 0 or a number of steps; use 200")


@dataclass
class LoggerConfig:
    """Which Lightning loggers record a run."""

    kind: str = "tensorboard"  # tensorboard, mlflow or none
    experiment: str = "forewarn"  # mlflow: name of the experiment
    tracking_uri: str | None = None  # mlflow: server or database; None writes into the run folder


@dataclass
class BoostingConfig:
    """How much work goes into LightGBM, as a baseline and in the hybrid."""

    candidates: int = 8  # parameter sets tried on the validation slice; 1 takes the usual one unseen
    seeds: int = 3  # models that are averaged
    threads: int = 2  # CPU threads at most

    def __post_init__(self) -> None:
        if not 1 <= self.candidates <= CANDIDATES:
            raise ValueError(
                f"boosting.candidates: found {self.candidates}, expected 1 to {CANDIDATES}; use {CANDIDATES}"
            )
        for name in ("seeds", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"boosting.{name}: found {getattr(self, name)}, expected at least 1; raise it")


@dataclass
class HybridConfig:
    """Trees behind the network, which ship in its place where they win on the validation slice."""

    enabled: bool = False  # multiplies the time of training by about one more than `folds`
    folds: int = 3  # networks trained to score the training rows that they did not see

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ValueError(f"hybrid.folds: found {self.folds}, expected at least 2; use 3")


@dataclass
class DistillationConfig:
    """A teacher whose scores a network learns beside the labels, to be served at the price of one network."""

    teacher: str | None = None  # folder of a finished run of the same data, split and target
    share: float = 0.5  # of the loss that is against the teacher's scores; the rest is against the labels

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"distillation.share: found {self.share}, expected 0 to 1; use 0.5")


@dataclass
class TrainConfig:
    """`python -m training.train`: one run from raw events to a bundle."""

    data: DataConfig = field(default_factory=DataConfig)
    target: str | None = None  # name in conf/targets or path of a target YAML; null takes the data set's default
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    text: TextConfig = field(default_factory=TextConfig)
    sequence: SequenceConfig = field(default_factory=SequenceConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    ensemble: int = 1  # networks trained with the seeds seed, seed + 1, … and averaged in one graph
    pretrained: str | None = None  # folder of a run whose vocabularies and network body this run starts from
    refit: bool = False  # train again on training and validation rows, with all that validation has chosen
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    seed: int = 0
    run: str = MISSING  # folder of the run; its bundle is <run>/bundle
    resume: bool = False  # continue the run in `run` or, if that is not given, the newest unfinished one of its name
    measure: bool = True  # false ends after the fit: no bundle, and nothing of the test split is read (searches)
    data_folder: str | None = None  # folder of the prepared data, which runs on the same data share; null is <run>/data
    baselines: list[str] = field(default_factory=lambda: ["prior", "rule", "logistic", "lightgbm", "gru"])
    boosting: BoostingConfig = field(default_factory=BoostingConfig)
    hybrid: HybridConfig = field(default_factory=HybridConfig)
    bootstrap: int = 200  # resamples behind every interval; 0 leaves the intervals out
    precisions: list[str] = field(default_factory=lambda: ["fp32"])  # graphs to export: fp32, fp16
    predictions: bool = False  # also write what every model says of the test rows, as <run>/predictions.npz
    page: str | None = None  # Markdown file to write the page of results to, its record beside it in records/
    lint: str = (
        "warn"  # leakage: "warn" logs findings, "refuse" also ends a run whose inputs reveal the label, or "off"
    )
    lint_histories: int = 20_000  # histories that the leakage linter looks at, a random part of more

    def __post_init__(self) -> None:
        # Here, because the names are used only after hours of training. The import waits: it brings every baseline.
        from training.baselines import NAMES

        for key, known in (("baselines", NAMES), ("precisions", PRECISIONS)):
            for name in getattr(self, key):
                if name not in known:
                    raise ValueError(f"{key}: found {name!r}, expected some of {', '.join(known)}; correct the list")
        if "fp32" not in self.precisions:
            raise ValueError(
                f"precisions: found {self.precisions}, expected fp32 among them, whose scores are measured; add fp32"
            )
        if self.model.ageing:
            self._check_ageing()
        if self.distillation.teacher and self.hybrid.enabled:
            raise ValueError(
                f"distillation.teacher: found {self.distillation.teacher} with hybrid.enabled=true, expected one of "
                "the two, for the teacher has learned from rows that a fold's network must not know; use "
                "hybrid.enabled=false"
            )
        if self.lint == "False":  # what YAML makes of a bare off
            self.lint = "off"
        if self.lint not in LINT:
            raise ValueError(f"lint: found {self.lint!r}, expected one of {', '.join(LINT)}; use warn")

    def _check_ageing(self) -> None:
        if self.data.clock == "none":
            raise ValueError(
                "model.ageing: found true with data.clock=none, expected data whose events have times, for silence is "
                "time; give the data its times, or use model.ageing=false"
            )
        if self.hybrid.enabled:
            raise ValueError(
                "model.ageing: found true with hybrid.enabled=true, expected one of the two, for trees know no silence "
                "and would take the network's place; use hybrid.enabled=false, or model.ageing=false"
            )


@dataclass
class ExportConfig:
    """`python -m training.export`: a bundle from a finished or interrupted run."""

    run: str = MISSING  # folder of the training run
    bundle: str | None = None  # folder to write; null is <run>/bundle
    precisions: list[str] = field(default_factory=lambda: ["fp32"])  # fp32, fp16
    provider: str = "cpu"  # ONNX Runtime provider of the parity check: cpu or cuda


@dataclass
class EvaluateConfig(SuiteConfig):
    """`python -m training.evaluate`: a bundle's scores on a data set, measured; with `suite`, kept results."""

    bundle: str = MISSING  # bundle folder
    data: DataConfig = field(default_factory=DataConfig)
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    split: str = "test"  # split to measure on
    provider: str = "cpu"
    precision: str = "fp32"
    bootstrap: int = 200  # resamples behind every interval; 0 leaves the intervals out
    out: str | None = None  # folder for metrics.json and report.md; null is <bundle>/../evaluation-<split>
    scores: bool = False  # also write the scores of every prefix as scores.parquet
    url: str | None = None  # score through the service at this address, which must serve the bundle; null: in process
    report: bool = False  # also write the full evaluation: report.html, report.json and a longer report.md
    page: str | None = None  # Markdown file to write the page to, beside <out>/report.md


def typed(config: DictConfig, kind: type[Any]) -> Any:
    """The dataclass behind a composed Hydra config, every value checked against its type.

    Raises ValueError naming a value that has no default and was not given.
    """
    with open_dict(config):
        config.pop("hydra", None)
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), config))
    except MissingMandatoryValue as error:
        raise ValueError(f"{error.full_key}: found nothing, expected a value; give {error.full_key}=…") from None


def saved_config(run: Path) -> TrainConfig:
    """The configuration a run was started with, under the name its folder has now; ValueError where there is none."""
    if not (run / SAVED).is_file():
        raise ValueError(f"run: found no {run / SAVED}, expected the folder of a training run; correct run=")
    saved: TrainConfig = typed(OmegaConf.load(run / SAVED), TrainConfig)  # type: ignore[arg-type]
    return replace(saved, run=run.as_posix())


def compose(*overrides: str, root: str = "train", kind: type[Any] = TrainConfig) -> Any:
    """The typed configuration that a command would run with these overrides; for notebooks and tests."""
    running = GlobalHydra.instance().is_initialized()  # within a command, which reads the same folder
    with nullcontext() if running else initialize_config_dir(str(CONF), version_base="1.3"):
        return typed(hydra_compose(root, list(overrides), return_hydra_config=True), kind)


def register() -> None:
    """Registers the schemas under the names that the root configs in `conf/` start from, and what their help lists."""
    OmegaConf.register_new_resolver("options", _options, replace=True)
    store = ConfigStore.instance()
    for name, kind in (("train", TrainConfig), ("export", ExportConfig), ("evaluate", EvaluateConfig)):
        store.store(name=f"{name}_schema", node=kind)


def _options(group: str, *others: str) -> str:
    """The files of a folder of `conf/` by name: Hydra's own list of groups has those that a command cannot use.

    `others` are left out, as files of another program.
    """
    return ", ".join(sorted({path.stem for path in (CONF / group).glob("*.yaml")} - set(others)))


register()
