"""One loss per kind of task, each a weighted mean over the labelled prefixes of a batch.

`weighting` decides who counts: "history" gives every history the same weight whatever its length, so that a few long
customers do not dominate; "prefix" gives every labelled prefix the same weight.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

WEIGHTINGS = ("history", "prefix")


def task_loss(
    kind: str, raw_BTK: Tensor, labels: dict[str, Tensor], weighting: str, rows_BT: Tensor | None = None
) -> Tensor:
    """Loss of one task from its raw outputs [B, T, K] and its labels; 0 where a batch has no label at all.

    Labels: hazard {"onset", "at_risk"} [B, T, K]; classification {"label"} [B, T], -1 none; regression {"value"}
    [B, T], NaN none. Soft labels are floats between 0 and 1 in place of the yes and no of a hazard, and of a class its
    probabilities [B, T, K]. `rows_BT` weighs every row on top; its mean over the training rows is 1.
    """
    raw_BTK = raw_BTK.float()
    if kind == "hazard":
        # Discrete-time survival likelihood: binary cross-entropy on the bins at risk, a censored bin says nothing.
        at_risk = labels["at_risk"]
        bins = F.binary_cross_entropy_with_logits(raw_BTK, labels["onset"].float(), reduction="none")
        loss_BT, labelled_BT = (bins * at_risk).sum(dim=-1), at_risk.any(dim=-1)
    elif kind == "classification" and labels["label"].is_floating_point():
        share_BTK = labels["label"]
        labelled_BT = ~torch.isnan(share_BTK).any(dim=-1)
        loss_BT = -(torch.nan_to_num(share_BTK) * raw_BTK.log_softmax(dim=-1)).sum(dim=-1)
    elif kind == "classification":
        label = labels["label"].long()
        labelled_BT = label >= 0
        loss_BT = F.cross_entropy(raw_BTK.transpose(1, 2), label.clamp(min=0), reduction="none")
    else:
        value = labels["value"]
        labelled_BT = ~torch.isnan(value)
        # An absolute error aims at the median, which the reported error rewards and a log leaves in place.
        loss_BT = F.l1_loss(raw_BTK[..., 0], torch.nan_to_num(value), reduction="none")
    weight_BT = labelled_BT.float()
    if weighting == "history":
        weight_BT = weight_BT / labelled_BT.sum(dim=1, keepdim=True).clamp(min=1)
    total = weight_BT.sum().clamp(min=1e-9)  # before the rows' own weights: a batch of light rows stays light
    return (loss_BT * (weight_BT if rows_BT is None else weight_BT * rows_BT)).sum() / total
