"""The machine's own limit: one large matrix product, and which share of it the model's arithmetic reaches.

It is a graph of one product in ONNX Runtime, bound where it runs: cuBLAS on a GPU, on a CPU the fastest there is. numpy
and torch are no limit: on an AMD core with AVX-512 they multiplied at 133 and 115 GFLOP/s, this at 260.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks.statistics import summarise
from forewarn.bundle.session import PROVIDERS

_SIZE = {"cpu": 2048, "cuda": 8192}  # rows and columns; large enough that neither machine gets faster with more
_OPSET, _IR_VERSION = 21, 10


class MatrixProduct:
    """A square matrix product in a graph's precision; on the CPU, which has no fast fp16, it is fp32 in any case."""

    def __init__(self, provider: str, precision: str, threads: int) -> None:
        self.size = _SIZE[provider]
        self.precision = precision if provider == "cuda" else "fp32"
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = ort.InferenceSession(self._graph(), options, providers=PROVIDERS[provider])
        self._binding = self._session.io_binding()
        self._binding.bind_ortvalue_input("left", ort.OrtValue.ortvalue_from_numpy(self._matrix(0), provider, 0))
        self._binding.bind_output("product", provider)
        self._session.run_with_iobinding(self._binding)
        self.repeats: list[float] = []

    def measure(self, seconds: float) -> None:
        """Adds one repeat: the operations per second of its fastest product, because a limit is a maximum."""
        until, fastest = time.perf_counter() + seconds, float("inf")
        while fastest == float("inf") or time.perf_counter() < until:
            began = time.perf_counter()
            self._session.run_with_iobinding(self._binding)
            fastest = min(fastest, time.perf_counter() - began)
        self.repeats.append(2 * self.size**3 / fastest)

    @property
    def result(self) -> dict[str, Any]:
        """What was multiplied, and gigaflops per second."""
        gigaflops = summarise([value / 1e9 for value in self.repeats])
        return {"precision": self.precision, "size": self.size, "gflop_per_s": gigaflops}

    def _matrix(self, seed: int) -> np.ndarray:
        values = np.random.default_rng(seed).standard_normal((self.size, self.size), dtype=np.float32)
        return values.astype(np.float16) if self.precision == "fp16" else values

    def _graph(self) -> bytes:
        """`product = left x right`, the right one a constant as a model's weights are."""
        from onnx import TensorProto, helper, numpy_helper

        kind = TensorProto.FLOAT16 if self.precision == "fp16" else TensorProto.FLOAT
        shape = [self.size, self.size]
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["left", "right"], ["product"])],
            "product",
            [helper.make_tensor_value_info("left", kind, shape)],
            [helper.make_tensor_value_info("product", kind, shape)],
            [numpy_helper.from_array(self._matrix(1), "right")],
        )
        opsets = [helper.make_opsetid("", _OPSET)]
        model: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION).SerializeToString()
        return model


def flop_per_event(model: Mapping[str, Any], length: int) -> float:
    """Floating-point operations the transformer needs per event of a history of `length` events.

    Two per weight of every matrix product, and attention to the (length + 1) / 2 events that an event sees on average
    (Kaplan et al. 2020, arXiv 2001.08361, table 1). Embedder and heads are left out, so shares are slightly too low.
    """
    width, head_width = model["width"], model["width"] // model["heads"]
    projections = width * head_width * (2 * model["heads"] + 2 * model["kv_heads"])
    attention = 2 * width * (length + 1) / 2
    return float(2 * model["layers"] * (projections + attention + 3 * width * model["mlp_width"]))
