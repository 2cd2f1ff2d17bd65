"""The hybrid: LightGBM on aggregates and on what the network says, which ships in the network's place where it wins.

Design choices
- Training rows carry out-of-fold outputs of networks trained on the other histories with the run's own recipe: a
  network is too sure of rows that it has learned, and trees would believe it. Validation and test rows carry the full
  network's. All are calibrated on the validation slice, each network by itself, so that folds and full network speak
  one scale.
- The network's outputs are all it gives, not its state: the states of differently seeded networks lie in differently
  turned spaces, so columns of one network's state mean nothing to trees grown on another's.
- Outputs are rounded to sixteenths, so that the float noise between torch, ONNX Runtime and batch sizes does not carry
  a row over a threshold of a tree.
- Tokens enter as numbers, in their order of frequency, or also as what they have meant in training
  (target_encoding.py): the trees' exact say on a token costs an ONNX graph three to twenty-four times as long
  (docs/decisions/0011).
- Whether the trees read the network and the encoded tokens, and how much they count against the network in the mean
  of both, the loss on unseen rows decides task by task (tree_choice.py, mixture.py).
- Under `weights.censoring` the trees of a hazard are calibrated like the network, by the same weights.
- Text reaches the trees through the network alone; its components would have to be kept in the bundle.
- A task ships its hybrid when its loss on the unseen rows is below the network's; the test split has no say. Competing
  tasks ship together, by the sum of their losses: their risks are scaled as one (competing.py).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewarn.model import ScoresAndLogits
from forewarn.sequence import EncodedHistory, RaggedDataset, aggregate_width
from forewarn.targets import Task
from training.boosting import Boosted, outputs
from training.calibration import calibrate
from training.competing import groups, within_one
from training.config import LoggerConfig, TrainConfig
from training.fit import fit
from training.measure import SplitRows, in_own_shape
from training.mixture import mixture
from training.network_outputs import network_outputs
from training.prepare import Prepared
from training.tree_choice import ChosenTrees, TreeRows, Unseen, choose_trees, unseen_loss
from training.weights import RowWeights

log = logging.getLogger(__name__)
STEP = 16.0  # steps per unit of a network's output; a power of two, so that rounding is exact
SAVED = "hybrid.json"


@dataclass(frozen=True)
class Hybrid:
    """The trees of every task that has some: one model per horizon of a hazard task, else one.

    `shares` is how much the trees of a task count against the network, 1 where it is not named.
    """

    models: dict[str, list[Boosted]]
    shares: dict[str, float] = field(default_factory=dict)

    def share(self, task: str) -> float:
        """The weight of a task's trees, the rest is the network's."""
        return self.shares.get(task, 1.0)

    def __call__(self, task: Task, features_ND: NDArray[np.float32], network_NK: NDArray[Any]) -> NDArray[Any]:
        """Predictions in the layout of `evaluate_task` from rows of `hybrid_features` and the network's own scores."""
        return mixture(task, outputs(task, self.models[task.name], features_ND), network_NK, self.share(task.name))

    def scores(
        self, tasks: Sequence[Task], features_ND: NDArray[np.float32], network: Sequence[NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        """Predictions of every task that has trees, from the network's scores of all tasks.

        Those of competing tasks add up to at most 1.
        """
        said = zip(tasks, network, strict=True)
        return within_one(
            tasks, {task.name: self(task, features_ND, own) for task, own in said if task.name in self.models}
        )

    def only(self, tasks: Sequence[str]) -> Hybrid:
        """The hybrid of some tasks."""
        return Hybrid({name: self.models[name] for name in tasks}, {name: self.share(name) for name in tasks})

    def save(self, path: Path) -> None:
        """Writes the trees as JSON."""
        models = {name: [model.to_dict() for model in own] for name, own in self.models.items()}
        path.write_text(json.dumps({"models": models, "shares": self.shares}))

    @classmethod
    def load(cls, path: Path) -> Hybrid:
        """Reads what `save` wrote."""
        saved = json.loads(path.read_text())
        models = {name: [Boosted.from_dict(model) for model in own] for name, own in saved["models"].items()}
        return cls(models, saved["shares"])


@dataclass(frozen=True)
class FittedHybrid:
    """A fitted hybrid, the tasks it wins on the unseen rows, and per task how it was fitted.

    `final` is the one to ship: with `refit` its trees were grown again on the validation rows too.
    """

    hybrid: Hybrid
    final: Hybrid
    wins: list[str]
    facts: dict[str, dict[str, Any]]


def fit_hybrid(config: TrainConfig, prepared: Prepared, scores: ScoresAndLogits, folder: Path) -> FittedHybrid:
    """Fits the trees behind the run's calibrated network; the networks of the folds are trained below `folder`.

    A task of which training cannot tell a horizon's outcomes apart gets no trees, and those it competes with ship none.
    """
    learnt, checking = (RaggedDataset(prepared.split(name)) for name in ("train", "valid"))
    weights = RowWeights.fit(config.weights, learnt)
    counted = [weights.calibration(learnt, own) for own in (learnt, checking)]
    train, valid = (SplitRows.load(prepared.split(name), prepared.target, weights) for name in ("train", "valid"))
    fold_H = fold_numbers([history.history_id for history in train.histories], config.hybrid.folds, config.seed)
    fold_N = np.repeat(fold_H, [history.length for history in train.histories])
    scored = [
        _scores_and_features(train.histories, out_of_fold(config, prepared, train.histories, fold_H, folder)),
        scores_and_features(scores, valid.histories),
    ]
    shapes, tasks = prepared.input_shapes, prepared.target.tasks
    plain = aggregate_width(len(shapes.cardinalities), shapes.numerics)
    chosen: dict[str, ChosenTrees] = {}
    unseen: dict[str, tuple[Unseen, Unseen]] = {}
    for number, task in enumerate(tasks):
        earlier, later = (
            Unseen(rows.tasks[task.name], features_ND, in_own_shape(task, said[number]), weight_N)
            for rows, (said, features_ND), weight_N in zip((train, valid), scored, counted, strict=True)
        )
        own = choose_trees(config, TreeRows(task, earlier, later, fold_N, shapes.cardinalities, plain))
        if own is None:
            log.warning("task %s: training rows of one outcome only for some horizon, so it gets no hybrid", task.name)
            continue
        chosen[task.name], unseen[task.name] = own, (earlier, later)
    facts = {name: chosen[name].facts | own for name, own in _verdicts(tasks, chosen, unseen).items()}
    shares = {name: own.share for name, own in chosen.items()}
    hybrid, final = (
        Hybrid({name: getattr(own, kind) for name, own in chosen.items()}, shares) for kind in ("models", "final")
    )
    return FittedHybrid(hybrid, final, [name for name, fact in facts.items() if fact["ships"]], facts)


def _verdicts(
    tasks: Sequence[Task], chosen: dict[str, ChosenTrees], unseen: dict[str, tuple[Unseen, Unseen]]
) -> dict[str, dict[str, Any]]:
    """Per task with trees, the losses of hybrid and network on the unseen rows, and whether the hybrid ships."""
    splits = [within_one(tasks, {name: own.mixed[split] for name, own in chosen.items()}) for split in range(2)]
    verdicts: dict[str, dict[str, Any]] = {}
    for group in groups(tasks):
        own = {
            task.name: {
                "loss": unseen_loss(task, unseen[task.name], [split[task.name] for split in splits]),
                "loss_of_network": unseen_loss(task, unseen[task.name], [part.network for part in unseen[task.name]]),
            }
            for task in group
            if task.name in chosen
        }
        loss, network = (sum(losses[name] for losses in own.values()) for name in ("loss", "loss_of_network"))
        ships = loss < network and len(own) == len(group)
        verdicts |= {name: losses | {"ships": ships} for name, losses in own.items()}
    return verdicts


def scores_and_features(
    scores: ScoresAndLogits, histories: Sequence[EncodedHistory]
) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
    """The network's scores [N, K] per task and the rows of `hybrid_features`, from one pass of the network."""
    return _scores_and_features(histories, network_outputs(scores, histories))


def _scores_and_features(
    histories: Sequence[EncodedHistory], outputs: list[NDArray[np.float32]]
) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
    tasks = len(outputs) // 2
    return outputs[:tasks], hybrid_features(histories, outputs[tasks:])


def hybrid_features(histories: Sequence[EncodedHistory], logits: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """What the trees read of every prefix, float32 [N, A + K of all tasks]: aggregates, rounded outputs."""
    columns = np.concatenate([history.aggregates() for history in histories])
    said = [np.round(own * np.float32(STEP)) / np.float32(STEP) for own in logits]
    return np.concatenate([columns, *said], axis=1, dtype=np.float32)


def out_of_fold(
    config: TrainConfig,
    prepared: Prepared,
    histories: Sequence[EncodedHistory],
    fold_H: NDArray[np.int64],
    folder: Path,
) -> list[NDArray[np.float32]]:
    """Outputs [N, K] of `ScoresAndLogits` for every training row, by a network that never saw the row's history.

    `fold_H` is the fold of each dataset row, of `fold_numbers`.
    """
    ends = np.cumsum([history.length for history in histories])
    joined: list[NDArray[np.float32]] = []
    dataset = RaggedDataset(prepared.split("train"))
    for fold in range(config.hybrid.folds):
        log.info("hybrid: network %d of %d", fold + 1, config.hybrid.folds)
        kept = np.flatnonzero(fold_H != fold).tolist()
        own = prepared.learning_from((dataset[i] for i in kept), folder / f"fold-{fold}")
        fitted = fit(replace(config, logger=LoggerConfig("none")), own, own.folder)
        scores = ScoresAndLogits(fitted.model, calibrate(fitted.model, own, config.weights)).eval()
        held_out = np.flatnonzero(fold_H == fold).tolist()
        found = network_outputs(scores, [histories[i] for i in held_out])
        joined = joined or [np.zeros((int(ends[-1]), output.shape[1]), np.float32) for output in found]
        rows = np.concatenate([np.arange(ends[i] - histories[i].length, ends[i]) for i in held_out])
        for whole, output in zip(joined, found, strict=True):
            whole[rows] = output
    return joined


def fold_numbers(history_ids: Sequence[str], folds: int, seed: int) -> NDArray[np.int64]:
    """Fold of each dataset row, balanced and drawn by seed; the windows of one history share theirs."""
    names, number = np.unique(history_ids, return_inverse=True)
    if len(names) < folds:
        raise ValueError(
            f"hybrid.folds: found {folds}, expected at most the number of training histories, {len(names)}; lower it"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    return (order % folds)[number]
