"""What is to be shown: one entry per page of results, with the training behind it and the figures it is held against.

The entries are the files of `conf/suite`; `all.yaml` names them in the order of the summary.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

COMMANDS = ("train", "rolling", "learning_curve")  # modules of `training` whose runs are kept
SHIPPED = "shipped"  # the row of what scores a task in the bundle
LOWER = ("brier", "ece", "log_loss", "mae")  # measures of which less is better
MEASURES = (
    "auroc", "auprc", "recall_5", "recall_12", "incidents_5", "incidents_12", "accuracy", "macro_f1",
    "macro_f1_balanced", *LOWER,
)  # fmt: skip


@dataclass
class Claim:
    """One figure of a result: the value to beat, and the value to reach."""

    task: str = MISSING  # of the target
    measure: str = MISSING  # as in metrics.json: auroc, brier, accuracy, …
    horizon: str | None = None  # of a hazard task
    k: int | None = None  # AUROC after k events (variable cohort) in place of that of all prefixes
    row: str = SHIPPED  # model that should reach it: transformer, hybrid, …, or shipped for what the bundle serves
    beat: float | None = None  # value measured or published elsewhere
    source: str | None = None  # whose value that is
    rival: str | None = None  # row of the same page to beat, where `beat` gives no value
    reach: float | None = None  # null reaches for the value to beat

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise ValueError(
                f"claims.measure: found {self.measure!r}, expected one of {', '.join(MEASURES)}; correct the claim"
            )
        if self.k is not None and self.measure != "auroc":
            raise ValueError(f"claims.k: found {self.k} with {self.measure!r}, expected auroc; leave k out")


@dataclass
class Entry:
    """One page of results: how its run is trained, and what it should show."""

    about: str = MISSING  # data set and question in a few words
    page: str = MISSING  # Markdown file; its record lies in records/ beside it
    command: str = "train"  # what makes the run: train, rolling or learning_curve
    train: list[str] = field(default_factory=list)  # overrides of it
    encoder: list[str] = field(default_factory=list)  # overrides of training.finetune_text, whose encoder the run reads
    report: list[str] = field(default_factory=list)  # data and protocol of training.evaluate, for a page of ablations
    claims: list[Claim] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.command not in COMMANDS:
            raise ValueError(
                f"command: found {self.command!r}, expected one of {', '.join(COMMANDS)}; correct the entry"
            )
        if self.report and self.command != "train":
            raise ValueError(f"report: found one of {self.command!r}, which has no single bundle; leave it out")


@dataclass
class SuiteConfig:
    """`python -m training.evaluate suite=…`: results trained, measured and held against their claims."""

    suite: dict[str, Entry] = field(default_factory=dict)  # by name, from conf/suite; empty measures `bundle` instead
    rerun: bool = False  # also train what has a record
    train: bool = True  # false trains nothing: pages of finished runs without a record, and the summary
    overrides: list[str] = field(default_factory=list)  # more overrides of every training, such as trainer=gpu
    runs: str = "runs/results"  # folder of the runs, one each, by name
    summary: str = "docs/results/README.md"  # file whose table is written anew; its other text stays
