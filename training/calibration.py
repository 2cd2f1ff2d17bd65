"""Calibration: an affine map of the logits fitted on the validation slice, which training never learned from.

Platt scaling per hazard bin, vector scaling for classes (Platt 1999; Guo et al. 2017, arXiv 1706.04599). A task whose
slice says too little, or whose likelihood does not improve, keeps the neutral map.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from forewarn.model import Ensemble, HeadSpec, SequenceModel
from forewarn.model.scores import Calibration
from forewarn.sequence import INPUT_COLUMNS, RaggedDataset, TokenBudgetBatches
from training.datamodule import EncodedDataset
from training.labelled import labels_of
from training.losses import task_loss
from training.prepare import Prepared
from training.weights import RowWeights, WeightsConfig

_TOKEN_BUDGET = 8_192  # padded events per batch
_LEAST_LABELS = 50  # of the rarer outcome; two parameters per bin need about this many to be worth fitting


def calibrate(model: SequenceModel | Ensemble, prepared: Prepared, weights: WeightsConfig) -> dict[str, Calibration]:
    """Calibration of every task, fitted on the validation split under its weights."""
    dataset = EncodedDataset(prepared.split("valid"))
    train = RaggedDataset(prepared.split("train"))
    lengths = dataset.rows.lengths("position")
    weights_N = np.split(RowWeights.fit(weights, train).calibration(train, dataset.rows), lengths.cumsum()[:-1])
    used: list[Tensor] = []
    raw: dict[str, list[Tensor]] = {}
    labels: dict[str, list[Tensor]] = {}
    for indices in TokenBudgetBatches(lengths, _TOKEN_BUDGET, shuffle=False):
        batch = dataset.__getitems__(indices)
        real_BT = torch.arange(batch["position"].shape[1]) < batch["length"].unsqueeze(1)
        with torch.no_grad():
            outputs = model.eval()(**{name: batch[name] for name in INPUT_COLUMNS if name in batch})
        used += [torch.from_numpy(weights_N[index]) for index in indices]
        for name, output in outputs.items():
            raw.setdefault(name, []).append(output[real_BT])
        for name in batch:
            if "." in name:  # labels alone are named "<task>.<part>"
                labels.setdefault(name, []).append(batch[name][real_BT])
    joined = {name: torch.cat(parts) for name, parts in labels.items()}
    return {
        head.name: fit_calibration(head, torch.cat(raw[head.name]), labels_of(head.name, joined), torch.cat(used))
        for head in model.head_specs
    }


def fit_calibration(
    head: HeadSpec, raw_NK: Tensor, labels: dict[str, Tensor], weight_N: Tensor | None = None
) -> Calibration:
    """Fits scale and shift of one task from raw outputs [N, K] and labels of N prefixes (layout of `task_loss`)."""
    if head.kind == "regression":
        return Calibration.neutral(head)
    fitted = _enough(head, labels)
    scale_log = torch.zeros(head.size if head.kind == "hazard" else 1, requires_grad=True)
    shift = torch.zeros(head.size, requires_grad=True)
    raw_1NK = raw_NK.float().unsqueeze(0)
    weight_1N = None if weight_N is None else weight_N.float().unsqueeze(0)
    labels_1N = {name: array.unsqueeze(0) for name, array in labels.items()}

    def mapped() -> tuple[Tensor, Tensor]:
        return (scale_log * fitted[: len(scale_log)]).exp().expand(head.size), shift * fitted

    def loss() -> Tensor:
        scale, offset = mapped()
        return task_loss(head.kind, raw_1NK * scale + offset, labels_1N, "prefix", weight_1N)

    optimizer = torch.optim.LBFGS([scale_log, shift], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.no_grad():
        before = loss()
    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        scale, offset = mapped()
        if not (torch.isfinite(scale).all() and loss() <= before):
            return Calibration.neutral(head)
    return Calibration(scale.tolist(), offset.tolist())


def _enough(head: HeadSpec, labels: dict[str, Tensor]) -> Tensor:
    """1.0 [K] where the slice holds enough of the rarer outcome to fit, else 0.0."""
    if head.kind == "hazard":
        onsets = (labels["onset"].bool() & labels["at_risk"].bool()).sum(dim=0)
        quiet = labels["at_risk"].sum(dim=0) - onsets
        return (torch.minimum(onsets, quiet) >= _LEAST_LABELS).float()
    label = labels["label"]
    counts = torch.bincount(label[label >= 0], minlength=head.size)
    return torch.full((head.size,), float(counts.sum() >= _LEAST_LABELS * head.size))
