"""Kept results, all at one command: trains what has no record, writes pages and record of each, then the summary.

Pages are written after the last training: until then the working tree is as it was committed, so that every run notes a
clean commit. A training is the command a user would type, in a process of its own.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from training.finetune_text import ENCODER, FinetuneTextConfig
from training.report_page import report_page
from training.results.claims import Entry, SuiteConfig
from training.results.record import RECORD, REPORT, Record, load_record, record_path, run_record, write_page
from training.results.summary import summary_table, verdicts, write_summary
from training.runs import finished, make_run, override_name, run_module

log = logging.getLogger(__name__)
_EVALUATE, _FINETUNE = "training.evaluate", "training.finetune_text"
_EVALUATION = "evaluation"  # folder of training.evaluate, in a run


def run_suite(config: SuiteConfig, known: Mapping[str, Entry]) -> dict[str, Any]:
    """Trains the entries of ``config.suite`` as far as they need it; the summary shows those of ``known``, all of them.

    An entry with its record and pages is left alone, or with ``rerun`` trained anew. A run that was interrupted is
    continued and a finished one without record is taken as it is; without ``train`` that is all. Raises ValueError,
    after the summary, naming trainings that failed.
    """
    summary = Path(config.summary)
    due = {
        name: entry for name, entry in config.suite.items()
        if config.rerun or not all(path.is_file() for path in _kept(entry))
    }  # fmt: skip
    log.info("%d of %d results have no record yet or are measured anew", len(due), len(config.suite))
    failed = []
    for number, (name, entry) in enumerate(due.items() if config.train else (), 1):
        log.info("result %d of %d: %s, %s", number, len(due), name, entry.about)
        if config.rerun:
            _clear(entry, Path(config.runs) / name)
        if not _train(entry, Path(config.runs) / name, config.overrides):
            failed.append(name)
    written = [name for name in due if finished(Path(config.runs) / name)]
    for name in written:
        _write(due[name], Path(config.runs) / name)
    write_summary(summary, summary_table(known, summary))
    if failed:
        raise ValueError(
            f"suite: {', '.join(failed)} ended with an error, which is above, expected a finished run; mend its cause "
            "and give the same command again: it goes on from there"
        )
    return {"summary": summary, "written": written, "claims": verdicts(known)}


def report_path(page: Path) -> Path:
    """Where the page of curves, slices and ablations lies, beside the page of an entry."""
    return page.with_name(f"{page.stem}_report.md")


def _kept(entry: Entry) -> list[Path]:
    page = Path(entry.page)
    return [record_path(page), *([report_path(page)] if entry.report else [])]


def _clear(entry: Entry, run: Path) -> None:
    """Removes a run whose page is written, and its encoder's: both are made anew."""
    path = record_path(Path(entry.page))
    if path.is_file() and finished(run) and _result(run)[1]["created"] == load_record(path)["created"]:
        shutil.rmtree(run)
        shutil.rmtree(_encoder_run(run), ignore_errors=True)


def _encoder_run(run: Path) -> Path:
    return run.with_name(f"{run.name}-{ENCODER}")


def _train(entry: Entry, run: Path, more: Sequence[str]) -> bool:
    """Whether the run of an entry is finished, after what was left of it to do."""
    overrides = [*entry.train, *more]
    if entry.encoder:
        own = _encoder_run(run)
        arguments = [*entry.encoder, *for_encoder(more)]
        if not (own / ENCODER).is_dir() and not make_run(_FINETUNE, arguments, own):
            return False
        overrides += ["text=huggingface", f"text.model={own / ENCODER}"]
    if not make_run(f"training.{entry.command}", overrides, run):
        return False
    report = run / _EVALUATION
    if not entry.report or (report / REPORT).is_file():
        return True
    arguments = [f"bundle={run / 'bundle'}", *entry.report, "report=true", f"out={report}"]
    return run_module(_EVALUATE, arguments)


def for_encoder(overrides: Sequence[str]) -> list[str]:
    """Those overrides of every training that the fine-tuning of an encoder has a key for, such as trainer=gpu."""
    known = {own.name for own in fields(FinetuneTextConfig)}
    return [override for override in overrides if override_name(override) in known]


def _result(run: Path) -> tuple[str, Record]:
    """Page and record of a finished run."""
    if (run / RECORD).is_file():
        return (run / REPORT).read_text(), load_record(run / RECORD)
    record = run_record(run)
    return report_page(record), record


def _write(entry: Entry, run: Path) -> None:
    """Writes page, record and, where the run has one, report of an entry."""
    page = Path(entry.page)
    write_page(page, *_result(run))
    report = run / _EVALUATION / REPORT
    if entry.report and report.is_file():
        report_path(page).write_text(report.read_text())
