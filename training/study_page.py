"""The table of a search as Markdown, with its command, commit, machine and date."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from optuna.trial import FrozenTrial

from training.provenance import command_line, git_commit, machine

_CHANGED_BY_THE_SEARCH = ("hparams_search", "measure", "run", "data_folder")


def study_page(title: str, trials: Sequence[FrozenTrial], fixed: Sequence[str]) -> str:
    """Finished trials, the best first; those that diverged come last and have no loss."""
    ranked = sorted(trials, key=lambda trial: (trial.value is None, trial.value or 0.0, trial.number))
    names = list(dict.fromkeys(name for trial in ranked for name in trial.params))
    lines = [
        f"# Search: {title}",
        "",
        f"Written by `{command_line()}` on {datetime.now(UTC):%Y-%m-%d}, commit `{git_commit()}`, {machine()}.",
        "",
        f"{len(ranked)} finished trials. The objective is the validation loss of the best epoch; the test split was "
        "not read. A loss is that of one seed, or the mean over those of an ensemble; neighbours differ by noise.",
        "",
    ]
    if ranked and ranked[0].value is not None:
        kept = [word for word in fixed if word.partition("=")[0] not in _CHANGED_BY_THE_SEARCH]
        chosen = [f"{name}={_number(value)}" for name, value in ranked[0].params.items()]
        best = shlex.join(["python", "-m", "training.train", *kept, *chosen])
        lines += ["The best, measured on the test split:", "", f"    {best}", ""]
    header = ["trial", "valid loss", "epochs", "parameters", "minutes", *names]
    lines += [_row(header), _row(["---"] + ["---:"] * (len(header) - 1))]
    for trial in ranked:
        loss = "-" if trial.value is None else f"{trial.value:.4f}"
        facts = [trial.user_attrs.get(name) for name in ("epochs", "parameters", "minutes")]
        counts = ["-" if fact is None else f"{fact:,}" for fact in facts]
        lines.append(_row([str(trial.number), loss, *counts, *(_number(trial.params[name]) for name in names)]))
    return "\n".join(lines) + "\n"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
