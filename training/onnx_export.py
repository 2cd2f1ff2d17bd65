"""The network as ONNX graphs, and the parity check that refuses a graph which does not say what torch says.

Opset 23 keeps a causal attention as one `Attention` node per layer and RMSNorm as one node; sizes are traced at two or
more and named, so one graph serves every batch size and length.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import torch
from numpy.typing import NDArray
from onnxscript import opset23 as op
from torch import Tensor, nn
from torch.export import Dim

from forewarn.bundle.session import largest_difference, nodes_by_provider, open_session
from forewarn.model import Scores

OPSET = 23
_DAY_S = 86_400.0
PARITY_LIMIT = {"fp32": 1e-4, "fp16": 1e-2}  # largest absolute difference of any score
Feed = dict[str, NDArray[Any]]


def export_graph(scores: Scores, path: Path, precision: str) -> None:
    """Writes `scores` as one ONNX file; fp16 halves the weights and keeps angles, logits and links in fp32."""
    if precision not in PARITY_LIMIT:
        raise ValueError(f"precisions: found {precision!r}, expected one of {sorted(PARITY_LIMIT)}; use fp32 or fp16")
    network = in_precision(scores, precision)
    inputs = _example(scores)
    batch, events, texts = Dim("batch", min=1, max=65_536), Dim("events", min=1, max=65_536), Dim("texts", min=1)
    per_text = {"text_vectors": {0: texts}, "text_words": {0: texts, 1: Dim("words", min=1)}}
    dynamic = {name: per_text.get(name, {0: batch, 1: events}) for name in inputs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside torch's own exporter
        program = torch.onnx.export(
            network,
            kwargs=inputs,
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=dynamic,
            output_names=scores.output_names,
            custom_translation_table={torch.ops.forewarn.gru.default: _gru_node},
            verbose=False,
        )
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces: the same model would get another hash in another folder
    program.save(str(path))


def _gru_node(x_BTD: Any, input_GD: Any, state_GD: Any, input_bias_G: Any, state_bias_G: Any) -> Any:
    """`forewarn.model.recurrent.gru_layer` as one ONNX GRU, whose update gate comes before the reset gate."""

    def gates(weight: Any) -> Any:
        reset, update, new = op.Split(weight, axis=0, num_outputs=3)
        return op.Concat(update, reset, new, axis=0)

    bias = op.Concat(gates(input_bias_G), gates(state_bias_G), axis=0)
    first, second = (cast(Any, op.Constant(value_ints=[axis])) for axis in (0, 1))
    weights = [op.Unsqueeze(weight, first) for weight in (gates(input_GD), gates(state_GD), bias)]
    every, _ = op.GRU(
        op.Transpose(x_BTD, perm=[1, 0, 2]), *weights, hidden_size=state_GD.shape[1], linear_before_reset=1
    )
    return op.Transpose(op.Squeeze(every, second), perm=[1, 0, 2])


def in_precision(scores: Scores, precision: str) -> nn.Module:
    """A copy of the network in evaluation mode, in the precision of a graph."""
    network = copy.deepcopy(scores).eval()
    if precision == "fp16":
        network.model.half()
    return network


def check_parity(scores: Scores, graph: Path, precision: str, feeds: Iterable[Feed], provider: str = "cpu") -> float:
    """Largest difference between torch (fp32, CPU) and the graph over `feeds`; ValueError above the limit.

    On CUDA the graph must also run whole: a node left to the CPU provider is refused by name.
    """
    reference = in_precision(scores, "fp32")
    session = open_session(graph, provider)
    names = [graph_input.name for graph_input in session.get_inputs()]
    worst, feed = 0.0, dict[str, NDArray[Any]]()
    for arrays in feeds:
        feed = {name: arrays[name] for name in names}
        with torch.no_grad():
            expected = reference(**{name: torch.from_numpy(array) for name, array in feed.items()})
        found = session.run(scores.output_names, feed)
        worst = max(worst, largest_difference(found, [tensor.numpy() for tensor in expected]))
    if worst > PARITY_LIMIT[precision]:
        raise ValueError(
            f"{graph.name}: differs from torch by {worst:.2e}, expected at most {PARITY_LIMIT[precision]:.0e} in "
            f"{precision} on {provider}; the graph was not shipped: report it with the versions of torch and "
            "onnxruntime"
        )
    if provider == "cuda" and (left := nodes_by_provider(graph, provider, feed).get("CPUExecutionProvider")):
        raise ValueError(
            f"{graph.name}: nodes left on the CPU provider: {dict(left)}, expected none on cuda; "
            "the graph was not shipped: use an onnxruntime-gpu that implements them"
        )
    return worst


def _example(scores: Scores) -> dict[str, Tensor]:
    """Small inputs to trace with; every size differs and is at least two, so that none is taken for a constant."""
    shapes = scores.model.inputs
    batch, events, texts, words = 2, 3, 5, 7
    inputs = {
        "categorical": torch.ones(batch, events, len(shapes.cardinalities), dtype=torch.long),
        "numeric": torch.zeros(batch, events, shapes.numerics),
        "position": torch.arange(events, dtype=torch.float32).expand(batch, events).clone(),
    }
    if scores.model.config.ageing:
        inputs["silence"] = torch.rand(batch, events) * _DAY_S
    if shapes.text_width or shapes.words:
        inputs["text_index"] = torch.ones(batch, events, dtype=torch.long)
    if shapes.text_width:
        inputs["text_vectors"] = torch.randn(texts, shapes.text_width)
    if shapes.words:
        inputs["text_words"] = torch.ones(texts, words, dtype=torch.long)
    return inputs
