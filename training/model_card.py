"""The model card of a bundle: what it predicts, from what, how well, and what it must not be used for."""

from __future__ import annotations

from typing import Any


def model_card(facts: dict[str, Any]) -> str:
    """Markdown from the facts of a manifest; it says so where nothing was measured yet."""
    data, metrics = facts["data"], facts["metrics"]
    tasks = [f"| {task.name} | {task.kind} | {', '.join(task.outputs)} | {task.scorer} |" for task in facts["tasks"]]
    splits = [f"| {name} | {own['histories']} | {own['events']} |" for name, own in data["splits"].items()]
    measured = [
        f"| {model} | {task} | {', '.join(_figure(*item) for item in figures.items())} |"
        for model, own in metrics.items()
        for task, figures in own.items()
    ]
    later = ", and risks as of any moment after it" if facts["model"].get("ageing") else ""
    teacher = f" It was taught to say what model `{data['teacher'][:12]}` says." if "teacher" in data else ""
    return "\n".join(
        [
            "# Model card",
            "",
            f"A forewarn sequence model of size {facts['model']['name']}, exported {facts['created']} from commit "
            f"{facts['git_commit']}.{teacher}",
            "",
            "## Predicts",
            "",
            "| task | kind | outputs | scored by |",
            "| --- | --- | --- | --- |",
            *tasks,
            "",
            f"Target `{data['target']}`, hash `{data['target_hash'][:12]}`. One score after every event{later}.",
            "",
            "## Learned from",
            "",
            f"Histories by `{data['by']}`, protocol `{data['protocol']['name']}`, cut {data['cut'] or 'none'}, data "
            f"fingerprint `{data['fingerprint'][:12]}`.",
            "",
            "| split | histories | events |",
            "| --- | --- | --- |",
            *splits,
            "",
            "## Measured on the test split",
            "",
            *(["| model | task | headline |", "| --- | --- | --- |", *measured] if measured else ["Not measured yet."]),
            "",
            "## Limits",
            "",
            "- Probabilities hold for data like the training data; watch calibration and drift before acting on them.",
            "- A score is a reason to look, never by itself a reason for an adverse act against a customer.",
            "- Groups of people are for audit, not for input: the featurizer's field list is in `featurizer.json`.",
            "",
        ]
    )


def _figure(name: str, value: float | None) -> str:
    return f"{name} {value:.3f}" if value is not None else f"{name} n/a"
