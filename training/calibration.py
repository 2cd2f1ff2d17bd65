"""Calibration: an affine map of the logits fitted on the validation slice, which training never learned from.

Platt scaling per hazard bin, vector scaling for classes (Platt 1999; Guo et al. 2017, arXiv 1706.04599), each shift and
log scale under a standard normal prior: without one, a class that the slice does not hold would be shifted without end.
A task whose slice says too little, or whose posterior does not improve, keeps the neutral map. The map is that of the
events themselves; what silence adds in a model that ages gets a factor of its own, fitted on the slice's silences.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from forewarn.model import CHANGE, Ensemble, HeadSpec, SequenceModel
from forewarn.model.scores import Calibration
from forewarn.sequence import INPUT_COLUMNS, RaggedDataset, TokenBudgetBatches
from training.datamodule import EncodedDataset
from training.labelled import labels_of
from training.losses import task_loss
from training.prepare import Prepared
from training.silences import AGED_AT_RISK, AGED_ONSET, SILENCE
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
            inputs = {name: batch[name] for name in INPUT_COLUMNS if name in batch}
            outputs = model.eval()(**inputs, silence=batch.get(SILENCE))
        used += [torch.from_numpy(weights_N[index]) for index in indices]
        for name, output in outputs.items():
            raw.setdefault(name, []).append(output[real_BT])
        for name in batch:
            if "." in name:  # labels alone are named "<task>.<part>"
                labels.setdefault(name, []).append(batch[name][real_BT])
    joined = {name: torch.cat(parts) for name, parts in labels.items()}
    fitted = {}
    for head in model.head_specs:
        outputs_NK, labels_N, weight_N = torch.cat(raw[head.name]), labels_of(head.name, joined), torch.cat(used)
        fitted[head.name] = fit_calibration(head, outputs_NK, labels_N, weight_N)
        if f"{head.name}{CHANGE}" in raw:
            change_NSK = torch.cat(raw[f"{head.name}{CHANGE}"])
            fitted[head.name] = fit_ageing(head, fitted[head.name], outputs_NK, change_NSK, labels_N, weight_N)
    return fitted


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

    labelled = labels["at_risk"].any(dim=-1) if head.kind == "hazard" else labels["label"] >= 0

    def loss() -> Tensor:
        scale, offset = mapped()
        prior = (scale_log.square().sum() + shift.square().sum()) / 2
        likelihood = task_loss(head.kind, raw_1NK * scale + offset, labels_1N, "prefix", weight_1N)
        return likelihood + prior / labelled.sum().clamp(min=1)

    if not _descend(loss, [scale_log, shift]):
        return Calibration.neutral(head)
    scale, offset = mapped()
    return Calibration(scale.tolist(), offset.tolist())


def fit_ageing(
    head: HeadSpec,
    calibration: Calibration,
    raw_NK: Tensor,
    change_NSK: Tensor,
    labels: dict[str, Tensor],
    weight_N: Tensor | None = None,
) -> Calibration:
    """Adds the factor on what silences change [N, S, K]; the calibration of the events themselves stays what it is."""
    fixed_1NK = (raw_NK.float() * torch.tensor(calibration.scale) + torch.tensor(calibration.shift)).unsqueeze(0)
    weight_1N = None if weight_N is None else weight_N.float().unsqueeze(0)
    onset_NSK, at_risk_NSK = labels[AGED_ONSET], labels[AGED_AT_RISK]
    fitted = _enough(head, {"onset": onset_NSK.flatten(0, 1), "at_risk": at_risk_NSK.flatten(0, 1)})
    factor_log = torch.zeros(head.size, requires_grad=True)

    def loss() -> Tensor:
        factor, total = (factor_log * fitted).exp(), torch.zeros(())
        for number, change_NK in enumerate(change_NSK.float().unbind(1)):  # each silence by itself, as in training
            aged = {"onset": onset_NSK[None, :, number], "at_risk": at_risk_NSK[None, :, number]}
            total = total + task_loss(head.kind, fixed_1NK + change_NK * factor, aged, "prefix", weight_1N)
        return total

    if not _descend(loss, [factor_log]):
        return calibration
    return calibration._replace(ageing=(factor_log * fitted).exp().tolist())


def _descend(loss: Callable[[], Tensor], parameters: list[Tensor]) -> bool:
    """Minimises a loss in place; whether it ended finite and no higher."""
    optimizer = torch.optim.LBFGS(parameters, max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.no_grad():
        before = loss()
    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        finite = all(bool(torch.isfinite(parameter).all()) for parameter in parameters)
        return finite and bool(loss() <= before)


def _enough(head: HeadSpec, labels: dict[str, Tensor]) -> Tensor:
    """1.0 [K] where the slice holds enough of the rarer outcome to fit, else 0.0."""
    if head.kind == "hazard":
        onsets = (labels["onset"].bool() & labels["at_risk"].bool()).sum(dim=0)
        quiet = labels["at_risk"].sum(dim=0) - onsets
        return (torch.minimum(onsets, quiet) >= _LEAST_LABELS).float()
    label = labels["label"]
    counts = torch.bincount(label[label >= 0], minlength=head.size)
    return torch.full((head.size,), float(counts.sum() >= _LEAST_LABELS * head.size))
