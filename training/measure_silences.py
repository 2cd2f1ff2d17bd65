"""`python -m training.measure_silences bundle=…`: how good a bundle's hazards are when nothing has come for a while.

Every observation point of a split is asked again after each of some silences, if it lived to see it: no other visible
event had come, and the observation went on. The score is the bundle's as of then; a bundle that does not age repeats
the score it gave at the event. So two bundles are compared on the same rows and labels, silence by silence.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hydra
import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig
from tqdm import tqdm

from forewarn.bundle import Bundle, Scorer
from forewarn.sequence import AGGREGATES, SILENCE, EncodedHistory, TokenBudgetBatches, collate
from forewarn.targets import HazardLabels, HazardTask, label_silences
from training.command import make_folder, run_command
from training.config import EvaluateConfig, typed
from training.encode import labelled_windows
from training.labelled import Arrays, LabelledSplits, unlabel
from training.metrics import evaluate_task

SILENCES = {"0": 0, "1h": 3_600, "6h": 21_600, "1d": 86_400, "3d": 259_200, "7d": 604_800, "14d": 1_209_600}  # s
TICKS = "any"  # all silences but none together: whom would a clock put first?
_SECOND = 1_000_000  # µs
_TOKEN_BUDGET = 8_192  # padded events per batch
_PARTS = ("onset", "at_risk", "observed")


def measure_silences(config: EvaluateConfig) -> dict[str, Any]:
    """Metrics per silence and hazard task, as `evaluate_task` has them, also written to <out>/silences.json."""
    if config.data.clock == "none":
        raise ValueError("data.clock: found none, expected data whose events have times, for silence is time")
    bundle = Bundle.load(config.bundle)
    tasks = [task for task in bundle.target.tasks if isinstance(task, HazardTask)]
    if not tasks:
        raise ValueError(f"target: found {bundle.target.name} without a hazard task, expected one; name another bundle")
    scorer = Scorer(bundle, config.provider, precision=config.precision)
    out = Path(config.out) if config.out else bundle.path.parent / f"silences-{config.split}"
    make_folder(out, "out")
    with TemporaryDirectory(dir=out) as scratch:
        splits = LabelledSplits.open(config.data, bundle.target, config.protocol, Path(scratch) / "histories")
        windows, labels = _rows(splits, config.split, scorer)
    clusters = np.repeat(np.unique([own.history_id for own in windows], return_inverse=True)[1], _lengths(windows))
    found: dict[str, Any] = {}
    risks = {name: scores_after(scorer, windows, silence_s) for name, silence_s in SILENCES.items()}
    for name, numbers in {**{own: [i] for i, own in enumerate(SILENCES)}, TICKS: range(1, len(SILENCES))}.items():
        asked = [list(SILENCES)[number] for number in numbers]
        found[name] = {}
        for task in tasks:
            own = HazardLabels(
                *(np.concatenate([labels[f"{task.name}.{part}"][:, i] for i in numbers]) for part in _PARTS)
            )
            risk_NK = np.concatenate([risks[silence][task.name] for silence in asked])
            found[name][task.name] = _measured(task, risk_NK, own, np.tile(clusters, len(asked)), config.bootstrap)
    facts = {"bundle": bundle.model_hash, "ages": scorer.ages, "split": config.split, "silences": found}
    (out / "silences.json").write_text(json.dumps(facts, indent=2) + "\n")
    return {"out": out, "model_hash": bundle.model_hash, "ages": scorer.ages}


def _measured(
    task: HazardTask, risk_NK: NDArray[np.float32], labels: HazardLabels, clusters: NDArray[np.int64], resamples: int
) -> dict[str, Any]:
    prefix = np.ones(len(clusters), np.int64)  # metrics by prefix are those of the full evaluation
    measured = evaluate_task(task, risk_NK, labels, clusters=clusters, prefix=prefix, resamples=resamples)
    known_NK = labels.cumulative()[1]
    for k, result in enumerate(measured["horizons"].values()):
        result.pop("by_prefix", None)
        if known_NK[:, k].any():
            result["mean_risk"] = float(risk_NK[known_NK[:, k], k].mean())
    horizons: dict[str, Any] = measured["horizons"]
    return horizons


def scores_after(scorer: Scorer, histories: list[EncodedHistory], silence_s: float) -> dict[str, NDArray[np.float32]]:
    """Every task's scores of every prefix, the same silence after each; rows in the order of the histories."""
    lengths = _lengths(histories)
    scores: list[list[NDArray[np.float32]]] = [[] for _ in histories]
    for batch in TokenBudgetBatches(lengths, _TOKEN_BUDGET, shuffle=False):
        feed: dict[str, NDArray[Any]] = collate(
            [histories[i] for i in batch], aggregates=AGGREGATES in scorer.input_names, silence=True
        )
        feed[SILENCE][:] = silence_s
        outputs = scorer.session.run(None, {name: feed[name] for name in scorer.input_names})
        for row, i in enumerate(batch):
            scores[i] = [output[row, : lengths[i]] for output in outputs]
    joined = [np.concatenate(parts) for parts in zip(*scores, strict=True)]
    return {task.name: array for task, array in zip(scorer.tasks, joined, strict=True)}


def _rows(splits: LabelledSplits, split: str, scorer: Scorer) -> tuple[list[EncodedHistory], Arrays]:
    """The windows of a split's histories, and the labels [N, S, K] of all their rows by task and part."""
    until, longest = splits.assignment.split_until(split), scorer.bundle.featurizer.config.max_length
    silence_S = np.array(list(SILENCES.values()), np.int64) * _SECOND
    windows: list[EncodedHistory] = []
    parts: list[Arrays] = []
    for whole, seen, cases, own in tqdm(splits.seen(split), desc="label", disable=not sys.stderr.isatty(), leave=False):
        silence_TS = np.tile(silence_S, (len(cases.number), 1))
        found = label_silences(splits.target, whole, silence_TS, observed_until=until)
        arrays: Arrays = {
            f"{task}.{part}": getattr(labels, part)[: len(own)] for task, labels in found.items() for part in _PARTS
        }
        unlabel(arrays, ~own)
        # Encoded here, not by `Scorer.encode`, which keeps the last window of a long history alone.
        embed = scorer.embed.encode if scorer.embed is not None else None
        (encoded,) = scorer.bundle.featurizer.encode([seen], embed)
        for _, window, labels in labelled_windows(encoded, arrays, longest):
            windows.append(window)
            parts.append(labels)
    return windows, {name: np.concatenate([own[name] for own in parts]) for name in parts[0]}


def _lengths(histories: list[EncodedHistory]) -> NDArray[np.int64]:
    return np.array([history.length for history in histories], dtype=np.int64)


def main(config: DictConfig) -> dict[str, Any]:
    """Measures a bundle."""
    return measure_silences(typed(config, EvaluateConfig))


@hydra.main(version_base="1.3", config_path="../conf", config_name="evaluate")
def command(config: DictConfig) -> None:
    """Hydra entry point; the settings are those of `training.evaluate`."""
    run_command(main, config)


if __name__ == "__main__":
    command()
