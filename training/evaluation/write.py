"""Writes the report: report.json, report.html beside it, and its sections in Markdown for report.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from forewarn.bundle import Bundle
from forewarn.bundle.manifest import MODEL_CARD
from training.evaluation.document import to_html, to_markdown
from training.evaluation.page import sections
from training.report_page import provenance
from training.results.record import Record


def write_report(out: Path, record: Record, numbers: dict[str, Any], bundle: Bundle) -> str:
    """Writes report.json and report.html into `out`; returns the same sections as Markdown."""
    title = record["title"]
    facts = {"title": title, "model_hash": bundle.model_hash, "commit": bundle.manifest.git_commit}
    (out / "report.json").write_text(json.dumps(facts | numbers, indent=1) + "\n")
    parts = sections(numbers, (bundle.path / MODEL_CARD).read_text(encoding="utf-8"))
    (out / "report.html").write_text(to_html(title, provenance(record), parts), encoding="utf-8")
    return "\n" + to_markdown(parts)
