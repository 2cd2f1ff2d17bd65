"""A transformers encoder from torch to one ONNX graph of pooled vectors, refused unless it computes the same numbers.

Design choices:
- Mean pooling over the attention mask and L2 normalisation are part of the graph, in fp32 also when the network is
  fp16.
- Eager attention at opset 18, then onnxscript's fusions for ONNX Runtime: one `Attention`, `SkipLayerNormalization`
  and `BiasGelu` per layer, 94 nodes for MiniLM instead of 252 and about a tenth more texts per second on two CPU
  cores; SDPA at opset 23 is as fast but twice the nodes. Checked also on tiny DistilBERT, RoBERTa, XLM-R, MPNet,
  ModernBERT and ELECTRA, in fp32 and fp16.
- No graph leaves here whose vectors differ from torch by more than the limit, on ragged padded batches and on single
  texts.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnxscript.rewriter.ort_fusions import optimize_for_ort
from torch import Tensor, nn

PARITY_LIMIT = {"fp32": 1e-4, "fp16": 1e-2}
OPSET = 18

_PROTOBUF_LIMIT = 2**31


@dataclass(frozen=True)
class TextGraph:
    """What is worth knowing of a written graph."""

    dim: int  # width of a vector
    parity_error: float  # largest absolute difference from torch in fp32


def write_text_graph(model_folder: Path, path: Path, *, precision: str, max_tokens: int, pad_id: int) -> TextGraph:
    """Export the encoder in `model_folder` to `path`: input_ids, attention_mask int64 [B, T] to vector float32 [B, D].

    Raises ValueError when the weights cannot be loaded, and when the network is too large for one file, cannot read
    `max_tokens` tokens, or differs from torch by more than `PARITY_LIMIT`.
    """
    network = load_text_network(model_folder)
    encoder = PooledEncoder(network).eval()
    half = precision == "fp16"
    size = sum(p.numel() for p in encoder.parameters()) * (2 if half else 4)
    if size >= _PROTOBUF_LIMIT:
        raise ValueError(
            f"text.model: found {size / 2**30:.1f} GiB of weights in {precision}, expected less than 2 GiB, "
            "the limit of one ONNX file; use a smaller encoder or text.precision=fp16"
        )
    batches = _parity_batches(network.config.vocab_size, pad_id, max_tokens)
    try:
        with torch.inference_mode():
            expected = [encoder(ids, mask).numpy() for ids, mask in batches]
    except (IndexError, RuntimeError) as error:
        raise ValueError(
            f"text.max_tokens: found {max_tokens}, expected a length that the network can read ({error}); "
            "set a smaller one"
        ) from error
    if half:
        encoder.half()

    _write(encoder, batches[-1], max_tokens, path)
    parity = _parity_error(path, batches, expected)
    if not parity <= PARITY_LIMIT[precision]:  # so written that NaN is refused too
        raise ValueError(
            f"text.model: found a parity error of {parity:.1e} between the exported graph and torch, "
            f"expected at most {PARITY_LIMIT[precision]:.0e}; use another encoder or text.precision=fp32"
        )
    return TextGraph(expected[0].shape[1], parity)


def load_text_network(model_folder: Path) -> Any:
    """The transformers network in `model_folder`, in fp32; ValueError when its weights cannot be loaded."""
    from transformers import AutoModel  # here, because a kept export needs no seconds of import

    try:
        with quiet():
            return AutoModel.from_pretrained(
                model_folder, attn_implementation="eager", dtype=torch.float32, use_safetensors=True
            )
    except Exception as error:  # damaged weights, an unknown architecture, other shapes: each raises its own class
        raise ValueError(
            f"text.model: found weights in {model_folder} that cannot be loaded ({type(error).__name__}: {error}), "
            "expected the config.json and whole *.safetensors of one encoder; fetch or save them again"
        ) from error


class PooledEncoder(nn.Module):
    """Token ids and mask [B, T] to vectors [B, D] of length one: the mean of the last hidden state over real tokens."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids_BT: Tensor, attention_mask_BT: Tensor) -> Tensor:
        hidden_BTD = self.network(input_ids=input_ids_BT, attention_mask=attention_mask_BT).last_hidden_state.float()
        weight_BT1 = attention_mask_BT.unsqueeze(-1).to(hidden_BTD.dtype)
        return nn.functional.normalize((hidden_BTD * weight_BT1).sum(1) / weight_BT1.sum(1).clamp(min=1), dim=-1)


def _parity_batches(vocabulary: int, pad_id: int, max_tokens: int) -> list[tuple[Tensor, Tensor]]:
    """Seeded token ids and masks: single texts, full length, ragged and padded; the last is also the example."""
    generator = torch.Generator().manual_seed(0)
    batches = []
    for shape in ((1, 1), (1, 7), (1, max_tokens), (2, max_tokens), (33, 20), (5, 8)):
        ids = torch.randint(0, vocabulary, shape, generator=generator)
        length = torch.randint(1, shape[1] + 1, (shape[0], 1), generator=generator)
        length[0] = shape[1]
        mask = (torch.arange(shape[1]) < length).long()
        batches.append((ids.masked_fill(mask == 0, pad_id), mask))
    return [(ids[:, :max_tokens], mask[:, :max_tokens]) for ids, mask in batches]


def _write(encoder: nn.Module, example: tuple[Tensor, Tensor], max_tokens: int, path: Path) -> None:
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens", max=max_tokens)
    with quiet():
        program = torch.onnx.export(
            encoder,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=["input_ids", "attention_mask"],
            output_names=["vector"],
            dynamic_shapes=({0: batch, 1: tokens}, {0: batch, 1: tokens}),
            verbose=False,
        )
        assert program is not None
        program.model, _ = optimize_for_ort(program.model)
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces with the paths of this machine
    program.save(path, external_data=False)


def _parity_error(path: Path, batches: list[tuple[Tensor, Tensor]], expected: list[np.ndarray]) -> float:
    """Largest absolute difference between the graph's vectors and `expected`; NaN where it gives no numbers."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = [session.run(None, {"input_ids": i.numpy(), "attention_mask": m.numpy()})[0] for i, m in batches]
    return float(np.max([np.abs(f - e).max() for f, e in zip(found, expected, strict=True)]))


@contextmanager
def quiet() -> Iterator[None]:
    """Silence progress bars and notes on libraries' own affairs; real failures are exceptions and pass."""
    from transformers.utils import logging as transformers_logging

    names = ("torch.onnx", "onnxscript", "onnx_ir")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
