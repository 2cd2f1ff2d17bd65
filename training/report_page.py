"""A page of results with its provenance: command, commit, machine and date beside every number."""

from __future__ import annotations

from datetime import UTC, datetime

from forewarn.bundle import Manifest
from training.provenance import command_line, machine
from training.report import Results, render_report


def report_page(title: str, results: Results, manifest: Manifest) -> str:
    """Markdown: what was measured, by which command, on what; then the tables of `render_report`."""
    whole = "\n\n".join([f"# {title}", *provenance(manifest)])
    whole += (
        " Every model sees the same rows and the same information. Brackets hold 95 % bootstrap intervals by history."
    )
    return whole + "\n\n" + render_report(results, manifest.data["protocol"].get("published"))


def provenance(manifest: Manifest) -> list[str]:
    """Two paragraphs: by which command a page was written, where and when; which model was measured on what."""
    data = manifest.data
    shipped = " and ".join(dict.fromkeys(task.scorer for task in manifest.tasks))
    splits = ", ".join(f"{name} {own['histories']:,} histories" for name, own in data["splits"].items())
    return [
        f"Written by `{command_line()}` on {datetime.now(UTC):%Y-%m-%d}, commit `{manifest.git_commit}`, {machine()}, "
        f"torch {manifest.versions['torch']}, onnxruntime {manifest.versions['onnxruntime']}.",
        f"Protocol `{data['protocol']['name']}`, cut {data['cut'] or 'none'}; {splits}. Model "
        f"`{manifest.model['name']}`, hash `{manifest.model_hash[:12]}`; the rows of the {shipped} are the "
        "scores of the exported bundle's own ONNX graph.",
    ]
