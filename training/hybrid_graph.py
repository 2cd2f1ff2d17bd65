"""The hybrid as one ONNX graph: the network's, with the trees behind it, so that serving sees one model as before.

The network's graph gives scores and logits; a second graph takes the logits, rounds them, sets them beside the
aggregates and runs every booster as one tree node (onnxmltools); `onnx.compose` joins the two. A task without trees
keeps the network's scores. The trees stay in fp32 whatever the network's precision. Where one of several competing
tasks has trees, the risks of all are scaled to add up to at most 1 (competing.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper

from forewarn.bundle.session import largest_difference, open_session
from forewarn.model import InputShapes
from forewarn.sequence import AGGREGATES, aggregate_width
from forewarn.targets import ClassificationTask, HazardTask, RegressionTask, Task
from training.boosting import Boosted
from training.competing import groups, within_one
from training.hybrid import STEP, Hybrid
from training.mixture import LEAST
from training.onnx_export import OPSET, PARITY_LIMIT, Feed
from training.target_encoding import TargetEncoding

_NETWORK, _ML = "network/", "ai.onnx.ml"
_ML_VERSION = 3  # of the tree operators


def merge_trees(network: Path, hybrid: Hybrid, tasks: Sequence[Task], inputs: InputShapes, path: Path) -> None:
    """Writes the graph of `ScoresAndLogits` at `network` with the hybrid's trees behind it; outputs as the tasks."""
    before = compose.add_prefix(
        onnx.load(network), _NETWORK, rename_inputs=False, rename_nodes=False, rename_edges=True
    )
    sizes = {output.name: output.type.tensor_type.shape.dim[-1].dim_value for output in before.graph.output}
    behind = _Trees(hybrid, tasks, sizes, aggregate_width(len(inputs.cardinalities), inputs.numerics)).model()
    behind.ir_version = before.ir_version
    joined = compose.merge_models(
        before,
        behind,
        io_map=[(read.name.replace("read/", _NETWORK), read.name) for read in behind.graph.input[1:]],
        outputs=[task.name for task in tasks],
    )
    onnx.checker.check_model(joined)
    onnx.save(joined, path)


def check_trees(
    network: Path, merged: Path, hybrid: Hybrid, tasks: Sequence[Task], feeds: Iterable[Feed], provider: str
) -> float:
    """Largest difference between the merged graph and Python's LightGBM on what the network's graph says.

    The network's own parity is another check: a tree turns the smallest difference into a step now and then, so the
    two are never seen through each other. ValueError above the limit of fp32.
    """
    said, whole = open_session(network, provider), open_session(merged, provider)
    worst = 0.0
    for arrays in feeds:
        outputs: list[NDArray[Any]] = said.run(None, {node.name: arrays[node.name] for node in said.get_inputs()})
        scores_BTK, logits_BTK = outputs[: len(tasks)], outputs[len(tasks) :]
        rounded = [np.round(own * np.float32(STEP)) / np.float32(STEP) for own in logits_BTK]
        features = np.concatenate([arrays[AGGREGATES], *rounded], axis=2, dtype=np.float32)
        expected = {
            task.name: hybrid(task, features.reshape(-1, features.shape[2]), own.reshape(-1, own.shape[2]))
            .reshape(own.shape)
            .astype(np.float32)
            if task.name in hybrid.models
            else own
            for task, own in zip(tasks, scores_BTK, strict=True)
        }
        found = whole.run(None, {node.name: arrays[node.name] for node in whole.get_inputs()})
        worst = max(worst, largest_difference(found, list(within_one(tasks, expected).values())))
    if worst > PARITY_LIMIT["fp32"]:
        raise ValueError(
            f"{merged.name}: its trees differ from LightGBM by {worst:.2e}, expected at most "
            f"{PARITY_LIMIT['fp32']:.0e}; "
            "the graph was not shipped: report it with the versions of lightgbm, onnxmltools and onnxruntime"
        )
    return worst


class _Trees:
    """Builds the second graph, node by node."""

    def __init__(self, hybrid: Hybrid, tasks: Sequence[Task], sizes: dict[str, int], width: int) -> None:
        self.hybrid, self.tasks, self.sizes, self.width = hybrid, tasks, sizes, width
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def model(self) -> onnx.ModelProto:
        """The graph: aggregates [B, T, A], logits (and scores of tasks without trees) [B, T, K] in, scores out."""
        logits = [f"{task.name}.logits" for task in self.tasks]
        kept = [task.name for task in self.tasks if task.name not in self.hybrid.models]
        mixed = [name for name in self.hybrid.models if self.hybrid.share(name) < 1]
        step = self._constant("step", np.float32(STEP))
        rounded = []
        for name in logits:
            scaled = self._node("Round", [self._node("Mul", [f"read/{name}", step], f"{name}.scaled")], f"{name}.steps")
            rounded.append(self._node("Div", [scaled, step], f"{name}.rounded"))
        every = self._node("Concat", [AGGREGATES, *rounded], "features", axis=2)
        width = self.width + sum(self._size(name) for name in logits)
        flat = self._node("Reshape", [every, self._constant("rows", np.array([-1, width]))], "features.rows")
        sides = self._node("Shape", [AGGREGATES], "sides", end=2)
        for group in groups(self.tasks):
            coupled = len(group) > 1 and any(task.name not in kept for task in group)
            apart = {task.name: f"{task.name}.apart" if coupled else task.name for task in group}
            for task in group:
                if task.name in kept:
                    self._node("Identity", [f"read/{task.name}"], apart[task.name])
                    continue
                size = self._constant(f"{task.name}.size", np.array([self._size(f"{task.name}.logits")]))
                shape = self._node("Concat", [sides, size], f"{task.name}.shape", axis=0)
                trees = f"{task.name}.trees" if task.name in mixed else apart[task.name]
                self._node("Reshape", [self._scores(task, flat, width), shape], trees)
                if task.name in mixed:
                    self._mixture(task, trees, apart[task.name])
            if coupled:
                self._within_one(apart)
        graph = helper.make_graph(
            self.nodes,
            "trees",
            [self._value(AGGREGATES, self.width)]
            + [self._value(f"read/{name}", self._size(name)) for name in (*logits, *kept, *mixed)],
            [self._value(task.name, self._size(f"{task.name}.logits")) for task in self.tasks],
            self.constants,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(_ML, _ML_VERSION)]
        return helper.make_model(graph, opset_imports=opsets)

    def _mixture(self, task: Task, trees: str, output: str) -> None:
        """The scores [B, T, K] of trees and network together, as `mixture` has them."""
        parts = []
        share = self.hybrid.share(task.name)
        for name, weight in ((trees, share), (f"read/{task.name}", 1 - share)):
            said = name if isinstance(task, RegressionTask) else self._log_odds(task, name)
            factor = self._constant(f"{name}/weight", np.float32(weight))
            parts.append(self._node("Mul", [said, factor], f"{name}/weighted"))
        if isinstance(task, RegressionTask):
            self._node("Add", parts, output)
            return
        joined = self._node("Add", parts, f"{trees}/joined")
        if isinstance(task, ClassificationTask):
            self._node("Softmax", [joined], output, axis=2)
        else:
            self._node("Sigmoid", [joined], output)

    def _log_odds(self, task: Task, name: str) -> str:
        """Logits of risks, or logs of class probabilities."""
        ends = [self._constant(f"{name}/{end}", np.float32(at)) for end, at in (("least", LEAST), ("most", 1 - LEAST))]
        inside = self._node("Clip", [name, *ends], f"{name}/inside")
        log = self._node("Log", [inside], f"{name}/log")
        if isinstance(task, ClassificationTask):
            return log
        rest = self._node("Sub", [self._constant(f"{name}/one", np.float32(1)), inside], f"{name}/rest")
        return self._node("Sub", [log, self._node("Log", [rest], f"{name}/log_rest")], f"{name}/logit")

    def _within_one(self, apart: dict[str, str]) -> None:
        """The scores [B, T, K] of competing tasks from what each says by itself, as `within_one` has them."""
        first, *_ = apart
        last = self._constant(f"{first}.longest", np.array([self._size(f"{first}.logits") - 1]))
        longest = [self._node("Gather", [own, last], f"{own}.longest", axis=2) for own in apart.values()]
        total = self._node("Sum", longest, f"{first}.total")
        divisor = self._node("Max", [total, self._constant(f"{first}.one", np.float32(1))], f"{first}.divisor")
        for name, own in apart.items():
            self._node("Div", [own, divisor], name)

    def _scores(self, task: Task, flat: str, width: int) -> str:
        """Scores [N, K] of one task from rows of features [N, D], as `training.boosting.outputs` has them."""
        found: list[str] = []
        for number, model in enumerate(self.hybrid.models[task.name]):
            name = f"{task.name}.{number}"
            rows, columns = self._encoded(model.encoding, flat, width, name)
            trees = [self._booster(booster, rows, columns, f"{name}.{i}") for i, booster in enumerate(model.boosters)]
            mean = self._node("Mean", trees, f"{name}.mean")
            if isinstance(task, HazardTask):
                mean = self._node("Gather", [mean, self._constant(f"{name}.onset", np.array([1]))], f"{name}.p", axis=1)
                mean = self._node("Max", [found[-1], mean], f"{name}.risk") if found else mean
            elif isinstance(task, ClassificationTask):
                mean = self._node("MatMul", [mean, self._constant(f"{name}.classes", _spread(model))], f"{name}.all")
            found.append(mean)
        return self._node("Concat", found, f"{task.name}.rows", axis=1)

    def _encoded(self, encoding: TargetEncoding | None, flat: str, width: int, name: str) -> tuple[str, int]:
        """The rows with the target encoding beside them, and how wide they are then."""
        if encoding is None:
            return flat, width
        columns = self._constant(f"{name}.columns", np.array(encoding.columns))
        tokens = self._node("Gather", [flat, columns], f"{name}.tokens", axis=1)
        whole = self._node("Cast", [tokens], f"{name}.whole", to=TensorProto.INT64)
        row = self._node("Add", [whole, self._constant(f"{name}.offsets", np.array(encoding.offsets))], f"{name}.row")
        found = self._node("Gather", [self._constant(f"{name}.table", encoding.table), row], f"{name}.means", axis=0)
        size = len(encoding.columns) * encoding.table.shape[1]
        shape = self._constant(f"{name}.wide", np.array([-1, size]))
        beside = self._node("Reshape", [found, shape], f"{name}.encoding")
        return self._node("Concat", [flat, beside], f"{name}.encoded", axis=1), width + size

    def _booster(self, booster: Any, flat: str, width: int, name: str) -> str:
        """One booster's probabilities [N, 2 or P] or values [N, 1]: the tree node of its conversion, moved here."""
        from onnxmltools import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType

        types = [("features", FloatTensorType([None, width]))]
        converted = convert_lightgbm(booster, initial_types=types, zipmap=False, target_opset=15)
        [trees] = [node for node in converted.graph.node if node.op_type.startswith("TreeEnsemble")]
        classifies = trees.op_type == "TreeEnsembleClassifier"
        trees.name, trees.input[:] = name, [flat]
        trees.output[:] = [f"{name}.label", f"{name}.trees"] if classifies else [f"{name}.trees"]
        self.nodes.append(trees)
        return f"{name}.trees"

    def _node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def _constant(self, name: str, value: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), f"constant/{name}"))
        return f"constant/{name}"

    def _size(self, name: str) -> int:
        return self.sizes[_NETWORK + name]

    def _value(self, name: str, size: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "events", size])


def _spread(model: Boosted) -> NDArray[np.float32]:
    """[P, classes]: which class each of the P classes met in training is."""
    assert model.present is not None
    return np.eye(model.size, dtype=np.float32)[model.present]
