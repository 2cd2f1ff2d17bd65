"""`python -m training.lint`: looks for leakage before anything is fitted, and says what to do about it.

The run folder holds histories/, lint.json (every finding with its figures) and lint.md (the same for reading).
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig
from tqdm import tqdm

from forewarn.events import DataConfig, HistoryStore
from forewarn.sequence import Featurizer
from forewarn.sequence.selection import FieldStatistics, choose_fields
from forewarn.targets import ProtocolConfig
from forewarn.targets.lint import CHECKS, Finding, Inputs, Severity, by_severity, collect, count_severities
from training.command import run_command
from training.config import TrainConfig, typed
from training.labelled import LabelledSplits, progress
from training.prepare import Prepared
from training.target import load_target

log = logging.getLogger(__name__)


@dataclass
class LintConfig:
    """`python -m training.lint`: which data set, under which target and protocol, and how much of it."""

    data: DataConfig = field(default_factory=DataConfig)
    target: str | None = None  # name in conf/targets or path of a target YAML; null takes the data set's default
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    histories: int = 20_000  # histories looked at, a random part of more
    events: int = 500_000  # events looked at, so that long histories take no more memory than short ones
    run: str = MISSING  # folder of the findings


ConfigStore.instance().store(name="lint_schema", node=LintConfig)


def lint(config: LintConfig) -> tuple[list[Finding], dict[str, Any]]:
    """Reads a data set and checks it; returns the findings and what the command prints."""
    run = Path(config.run)
    target = load_target(config)
    splits = LabelledSplits.open(config.data, target, config.protocol, run / "histories")
    findings = lint_splits(splits, config.data, None, config.histories, config.events)
    report = {
        "target": target.name,
        "data": config.data.source,
        "protocol": splits.protocol.name,
        "checks": len(CHECKS),
        "counts": count_severities(findings),
        "findings": [asdict(finding) for finding in findings],
    }
    (run / "lint.json").write_text(json.dumps(report, indent=2) + "\n")
    (run / "lint.md").write_text(page(findings, report))
    result = {"run": run, "report": run / "lint.json", **count_severities(findings), "checks": len(CHECKS)}
    return findings, result


def lint_run(config: TrainConfig, prepared: Prepared, folder: Path) -> dict[str, Any]:
    """Checks what a training run is about to fit, as `lint` of its configuration says; returns what metrics.json keeps.

    Raises ValueError on an error finding under `lint: refuse`.
    """
    if config.lint == "off":
        return {"mode": "off"}
    store = HistoryStore(folder / "histories")
    splits = LabelledSplits.of(store, config.data, prepared.target, config.protocol)
    findings = lint_splits(splits, config.data, inputs_of(prepared.featurizer), config.lint_histories)
    for finding in findings:
        log.log(logging.INFO if finding.severity == Severity.NOTE else logging.WARNING, "leakage: %s", finding)
    errors = [finding for finding in findings if finding.severity == Severity.ERROR]
    if errors and config.lint == "refuse":
        named = "; ".join(f"{finding.subject} ({finding.check})" for finding in errors)
        raise ValueError(
            f"lint: found inputs that reveal the label: {named}; expected none under lint=refuse. {errors[0].fix} "
            "lint=warn trains all the same"
        )
    return {"mode": config.lint, "counts": count_severities(findings), "findings": [asdict(f) for f in findings]}


def lint_splits(
    splits: LabelledSplits, data: DataConfig, inputs: Inputs | None, histories: int, events: int = LintConfig.events
) -> list[Finding]:
    """The findings on at most so many histories and events; without `inputs` they are chosen as training would.

    A store iterates in hash order, so the first histories are a random part of it.
    """
    if histories < 1 or events < 1:
        raise ValueError(f"lint: found histories={histories}, events={events}, expected at least 1 of each; raise it")
    target = splits.target.with_classes(islice(splits.units("train"), histories))
    table = collect(
        progress(islice(splits.units(), histories), "lint histories"),
        target,
        splits.protocol,
        splits.assignment,
        inputs or chosen_inputs(splits, data, histories),
        by=splits.store.by,
        clock=data.clock == "time",
        most_events=events,
    )
    checks = tqdm(CHECKS, desc="lint checks", unit=" checks", disable=None, leave=False)
    return by_severity(finding for check in checks for finding in check.run(table))


def chosen_inputs(splits: LabelledSplits, data: DataConfig, histories: int) -> Inputs:
    """The fields that training would choose, from as many training histories."""
    seen = progress(islice(splits.visible("train"), histories), "input fields")
    statistics = FieldStatistics.collect(seen, {})
    exclude = splits.target.hidden_inputs() | set(data.inputs.exclude)
    categorical, numeric = choose_fields(statistics, data.inputs.categorical, data.inputs.numeric, exclude)
    return Inputs(categorical, numeric, data.inputs.text and statistics.has_text)


def inputs_of(featurizer: Featurizer) -> Inputs:
    """The fields that a fitted featurizer reads."""
    fields = [name for name in featurizer.vocabularies if name not in featurizer.crosses]
    return Inputs(fields, list(featurizer.attributes), featurizer.text_width > 0)


def page(findings: list[Finding], report: dict[str, Any]) -> str:
    """The findings as Markdown."""
    counts = ", ".join(f"{count} {name}s" for name, count in report["counts"].items())
    lines = [f"# Leakage: {report['target']} on {report['data']}, protocol {report['protocol']}", "", f"{counts}.", ""]
    for finding in findings:
        lines += [
            f"## {finding.severity.value}: {finding.check} (trap {finding.trap})",
            "",
            f"**{finding.subject}** {finding.evidence}.",
            "",
            f"{finding.why} {finding.fix}",
            "",
        ]
    return "\n".join(lines)


@hydra.main(version_base="1.3", config_path="../conf", config_name="lint")
def command(config: DictConfig) -> None:
    """Hydra entry point; ends with code 2 when an input reveals the label."""
    refused = False

    def main(config: DictConfig) -> dict[str, Any]:
        nonlocal refused
        findings, result = lint(typed(config, LintConfig))
        for finding in findings:
            print(f"{finding}\n", flush=True)
        refused = bool(result["error"])
        return result

    run_command(main, config)
    if refused:
        sys.exit(2)


if __name__ == "__main__":
    command()
