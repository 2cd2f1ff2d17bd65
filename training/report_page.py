"""A page of results with its provenance: command, commit, machine and date beside every number."""

from __future__ import annotations

from training.report import render_report
from training.results.record import Record


def report_page(record: Record) -> str:
    """Markdown: what was measured, by which command, on what; then the tables of `render_report`."""
    whole = "\n\n".join([f"# {record['title']}", *provenance(record)])
    whole += (
        " Every model sees the same rows and the same information. Brackets hold 95 % bootstrap intervals by history."
    )
    return whole + "\n\n" + render_report(record["metrics"], record["published"])


def provenance(record: Record) -> list[str]:
    """Two paragraphs: by which command a page was written, where and when; which model was measured on what."""
    data, versions, model = record["data"], record["versions"], record["model"]
    shipped = " and ".join(dict.fromkeys(record["shipped"].values()))
    splits = ", ".join(f"{name} {histories:,} histories" for name, histories in data["histories"].items())
    return [
        f"Written by `{record['command']}` on {record['date']}, commit `{record['commit']}`, {record['machine']}, "
        f"torch {versions['torch']}, onnxruntime {versions['onnxruntime']}.",
        f"Protocol `{data['protocol']}`, cut {data['cut'] or 'none'}; {splits}. Model "
        f"`{model['name']}`, hash `{model['hash'][:12]}`; the rows of the {shipped} are the "
        "scores of the exported bundle's own ONNX graph.",
    ]
