"""The record of a run: all its metrics with their origin, as data beside the page that shows them.

It holds what a reader may want to compute with: no curves, and no folder of any machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forewarn.bundle import Bundle, Manifest
from training.command import make_folder
from training.config import saved_config
from training.export import run_metrics
from training.provenance import origin as this_process

FORMAT = 1
ORIGIN = "origin.json"  # in a run's folder: what it was started with
RECORD = "record.json"  # in the folder of several runs, whose record no single bundle holds
REPORT = "report.md"  # the page of a run or an evaluation, in its folder
_FOLDER = "records"  # beside the pages
_DIGITS = 6
Record = dict[str, Any]


def make_record(title: str, metrics: Mapping[str, Any], manifest: Manifest, origin: Mapping[str, str]) -> Record:
    """Metrics (model -> task -> result of `evaluate_task`) with what they were measured on, by and where.

    ``origin`` gives command, machine and date, see `training.provenance.origin`.
    """
    data = manifest.data
    return {
        "format": FORMAT,
        "title": title,
        **origin,
        "commit": manifest.git_commit,
        "created": manifest.created,
        "versions": manifest.versions,
        "model": {"name": manifest.model["name"], "hash": manifest.model_hash},
        "shipped": {task.name: task.scorer for task in manifest.tasks},
        "data": {
            "fingerprint": data["fingerprint"],
            "protocol": data["protocol"]["name"],
            "cut": data["cut"],
            "histories": {name: own["histories"] for name, own in data["splits"].items()},
        },
        "published": data["protocol"].get("published") or {},
        "metrics": rounded(metrics),
    }


def run_record(run: Path) -> Record:
    """The record of a finished run, from what it left in its folder; ValueError where it is not finished."""
    bundle = run / "bundle"
    manifest = Bundle.load(bundle).manifest if bundle.is_dir() else None
    metrics = run_metrics(run, manifest) if manifest else {}
    if manifest is None or not metrics:
        raise ValueError(
            f"run: found no metrics of a bundle in {run}, expected a finished run; continue it with "
            f"python -m training.train resume=true run={run}"
        )
    title = f"{manifest.data['target']} on {saved_config(run).data.source}"
    return make_record(title, metrics, manifest, run_origin(run) | {"date": manifest.created[:10]})


def note_origin(run: Path) -> None:
    """Notes in a run's folder that this process started it."""
    (run / ORIGIN).write_text(json.dumps(this_process()) + "\n")


def run_origin(run: Path) -> dict[str, str]:
    """Command and machine that a run was started with; unknown for runs that did not note it."""
    path = run / ORIGIN
    known: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
    return {name: known.get(name, "unknown") for name in ("command", "machine")}


def record_path(page: Path) -> Path:
    """Where the record of a page lies."""
    return page.parent / _FOLDER / f"{page.stem}.json"


def write_page(page: Path, text: str, record: Record) -> None:
    """Writes a page of results and its record beside it."""
    path = record_path(page)
    make_folder(path.parent, "page")
    page.write_text(text)
    path.write_text(json.dumps(record, indent=1) + "\n")


def load_record(path: Path) -> Record:
    """A record; ValueError for one of another format."""
    record: Record = json.loads(path.read_text())
    if record.get("format") != FORMAT:
        raise ValueError(
            f"{path}: found format {record.get('format')!r}, expected {FORMAT}; write the record again with rerun=true"
        )
    return record


def rounded(value: Any) -> Any:
    """The same tree with numbers as long as anyone reads them."""
    if isinstance(value, Mapping):
        return {name: rounded(own) for name, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(own) for own in value]
    return round(value, _DIGITS) if isinstance(value, float) else value
