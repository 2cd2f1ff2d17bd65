"""A page of results with its provenance: command, commit, machine and date beside every number."""

from __future__ import annotations

from datetime import UTC, datetime

from forewarn.bundle import Manifest
from training.provenance import command_line, machine
from training.report import Results, render_report


def report_page(title: str, results: Results, manifest: Manifest) -> str:
    """Markdown: what was measured, by which command, on what; then the tables of `render_report`."""
    data = manifest.data
    splits = ", ".join(f"{name} {own['histories']:,} histories" for name, own in data["splits"].items())
    lines = [
        f"# {title}",
        "",
        f"Written by `{command_line()}` on {datetime.now(UTC):%Y-%m-%d}, commit `{manifest.git_commit}`, {machine()}, "
        f"torch {manifest.versions['torch']}, onnxruntime {manifest.versions['onnxruntime']}.",
        "",
        f"Protocol `{data['protocol']['name']}`, cut {data['cut'] or 'none'}; {splits}. "
        f"Model `{manifest.model['name']}`, hash `{manifest.model_hash[:12]}`; the transformer's rows are the scores "
        "of the exported bundle's own ONNX graph. Every model sees the same rows and the same information. "
        "Brackets hold 95 % bootstrap intervals by history.",
        "",
    ]
    return "\n".join(lines) + "\n" + render_report(results, data["protocol"].get("published"))
