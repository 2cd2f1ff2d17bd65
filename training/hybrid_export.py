"""A hybrid as one ONNX graph: the sequence model's, followed by trees and blend; inputs in, scores out as before.

The graph gains one input, `aggregates` float32 [B, T, A], which `collate` fills from the same histories.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from forewarn.bundle.session import largest_difference, open_session
from forewarn.sequence import AGGREGATES, EncodedHistory, collate, collate_aggregates
from training.hybrid import LEAST_RISK, Blend, Hybrid

_ML_OPSET = 15  # onnxmltools' target; tree nodes are of domain ai.onnx.ml and unchanged since


def add_hybrid(graph: Path, hybrid: Hybrid, batches: Sequence[Sequence[EncodedHistory]], limit: float) -> float:
    """Rewrites a sequence graph in place so that its hazard outputs are the hybrid's; returns the parity error.

    The error is the largest difference on `batches` to LightGBM itself blended with the graph's scores from before.
    Raises ValueError above `limit`.
    """
    expected = [_expected(open_session(graph), hybrid, batch) for batch in batches]
    _append(graph, hybrid)
    session = open_session(graph)
    worst = 0.0
    for batch, scores in zip(batches, expected, strict=True):
        for (name, own), found in zip(scores.items(), session.run(None, _feed(session, batch)), strict=True):
            flat = np.concatenate([found[row, : history.length] for row, history in enumerate(batch)])
            worst = max(worst, largest_difference([flat], [own])) if name in hybrid.boosters else worst
    if worst > limit:
        raise ValueError(
            f"{graph.name}: the hybrid differs from LightGBM by {worst:.2e}, expected at most {limit:.0e}; it was not "
            "shipped: train with hybrid=false, and report it with the versions of lightgbm and onnxmltools"
        )
    return worst


def _expected(session: Any, hybrid: Hybrid, batch: Sequence[EncodedHistory]) -> dict[str, NDArray[Any]]:
    names = [output.name for output in session.get_outputs()]
    outputs = session.run(None, _feed(session, batch))
    scores = {
        name: np.concatenate([output[row, : history.length] for row, history in enumerate(batch)])
        for name, output in zip(names, outputs, strict=True)
    }
    return hybrid(batch, scores)


def _feed(session: Any, batch: Sequence[EncodedHistory]) -> dict[str, NDArray[Any]]:
    feed = {**collate(batch), AGGREGATES: collate_aggregates(batch)}
    return {graph_input.name: feed[graph_input.name] for graph_input in session.get_inputs()}


def _append(graph: Path, hybrid: Hybrid) -> None:
    model = onnx.load(graph)
    builder = _Builder(model)
    width = next(iter(hybrid.boosters.values()))[0].num_feature()
    batch, events = (dim.dim_param for dim in model.graph.input[0].type.tensor_type.shape.dim[:2])
    model.graph.input.append(helper.make_tensor_value_info(AGGREGATES, TensorProto.FLOAT, [batch, events, width]))
    rows = builder.node("Reshape", AGGREGATES, builder.constant(np.array([-1, width])))
    for task, boosters in hybrid.boosters.items():
        sequence = builder.rename_output(task)
        trees = [builder.trees(rows, booster) for booster in boosters]
        builder.blend(task, sequence, trees, hybrid.blends[task])
    if not any(opset.domain == "ai.onnx.ml" for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    onnx.checker.check_model(model)
    onnx.save(model, graph)


class _Builder:
    """Appends nodes with names of their own to a model's graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph, self._count = model.graph, 0

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Appends a node and returns the name of its output."""
        self._count += 1
        name = f"hybrid_{self._count}"
        self.graph.node.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: NDArray[Any]) -> str:
        """Appends an initializer and returns its name."""
        self._count += 1
        name = f"hybrid_{self._count}"
        self.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def rename_output(self, task: str) -> str:
        """Gives what the sequence graph called `task` another name, so that the blend can take it."""
        name = f"{task}.sequence"
        for node in self.graph.node:
            for names in (node.input, node.output):
                for i, old in enumerate(names):
                    if old == task:
                        names[i] = name
        return name

    def trees(self, rows: str, booster: lgb.Booster) -> str:
        """The probability [N] that one booster says for rows [N, A]."""
        features = FloatTensorType([None, booster.num_feature()])
        converted = convert_lightgbm(
            exact(booster), initial_types=[("features", features)], zipmap=False, target_opset=_ML_OPSET
        ).graph
        self._count += 1
        prefix, outer = f"trees_{self._count}.", {"features": rows}
        for initializer in converted.initializer:
            initializer.name = prefix + initializer.name
            self.graph.initializer.append(initializer)
        for number, node in enumerate(converted.node):
            for names in (node.input, node.output):
                for i, old in enumerate(names):
                    if old:
                        names[i] = outer.get(old, prefix + old)
            node.name = f"{prefix}{number}"
            self.graph.node.append(node)
        probabilities = prefix + converted.output[1].name
        return self.node("Gather", probabilities, self.constant(np.array(1)), axis=1)

    def blend(self, task: str, sequence: str, trees: list[str], blends: list[Blend]) -> None:
        """The output `task` [B, T, K] from risks of the sequence model [B, T, K] and of K boosters [B * T]."""
        shape = self.node("Shape", sequence, end=2)
        best = ""
        risks = []
        for k, (probability, blend) in enumerate(zip(trees, blends, strict=True)):
            own = self._logit(self.node("Gather", sequence, self.constant(np.array(k)), axis=2))
            other = self._logit(self.node("Reshape", probability, shape))
            total = self.node(
                "Sum",
                self.node("Mul", own, self.constant(np.array(blend.sequence, np.float32))),
                self.node("Mul", other, self.constant(np.array(blend.trees, np.float32))),
                self.constant(np.array(blend.shift, np.float32)),
            )
            risk = self.node("Sigmoid", total)
            best = self.node("Max", best, risk) if best else risk
            risks.append(self.node("Unsqueeze", best, self.constant(np.array([2]))))
        self.graph.node.append(helper.make_node("Concat", risks, [task], name=f"hybrid.{task}", axis=2))

    def _logit(self, risk: str) -> str:
        bounds = (self.constant(np.array(bound, np.float32)) for bound in (LEAST_RISK, 1 - LEAST_RISK))
        clipped = self.node("Clip", risk, *bounds)
        rest = self.node("Sub", self.constant(np.array(1, np.float32)), clipped)
        return self.node("Log", self.node("Div", clipped, rest))


def exact(booster: lgb.Booster) -> lgb.Booster:
    """The same booster with thresholds that float32 holds: ONNX compares in float32, LightGBM in float64.

    Features are float32, so x <= t says the same as x <= the largest float32 not above t.
    """
    text = re.sub(
        r"^threshold=(.+)$", lambda found: f"threshold={_floored(found[1])}", booster.model_to_string(), flags=re.M
    )
    return lgb.Booster(model_str=re.sub(r"^tree_sizes=.*\n", "", text, flags=re.M))  # sizes in bytes have changed


def _floored(thresholds: str) -> str:
    exact_N = np.array(thresholds.split(), np.float64)
    near_N = exact_N.astype(np.float32)
    floor_N = np.where(near_N > exact_N, np.nextafter(near_N, np.float32(-np.inf)), near_N)
    return " ".join(repr(float(value)) for value in floor_N)
