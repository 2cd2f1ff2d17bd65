"""Losses and calibration."""

from __future__ import annotations

import torch

from forewarn.model import HeadSpec
from forewarn.model.scores import Calibration
from training.calibration import fit_calibration
from training.losses import task_loss


def test_the_hazard_loss_is_the_survival_likelihood_of_the_bins_at_risk() -> None:
    raw = torch.tensor([[[0.3, -0.7, 1.1]]])
    onset = torch.tensor([[[0, 1, 0]]])
    at_risk = torch.tensor([[[True, True, False]]])
    hazard = raw[0, 0].sigmoid()
    expected = -(torch.log(1 - hazard[0]) + torch.log(hazard[1]))
    torch.testing.assert_close(task_loss("hazard", raw, {"onset": onset, "at_risk": at_risk}, "prefix"), expected)


def test_a_censored_bin_says_nothing() -> None:
    labels = {"onset": torch.zeros(1, 1, 2, dtype=torch.int8), "at_risk": torch.tensor([[[True, False]]])}
    losses = [task_loss("hazard", torch.tensor([[[0.1, x]]]), labels, "history") for x in (-9.0, 9.0)]
    assert losses[0] == losses[1]


def test_weighting_decides_whether_histories_or_prefixes_count_alike() -> None:
    raw = torch.zeros(2, 3, 1)
    raw[0, 0] = 2.0
    value = torch.tensor([[0.0, float("nan"), float("nan")], [0.0, 0.0, 0.0]])
    lone = torch.tensor(2.0)
    torch.testing.assert_close(task_loss("regression", raw, {"value": value}, "history"), lone / 2)
    torch.testing.assert_close(task_loss("regression", raw, {"value": value}, "prefix"), lone / 4)


def test_a_batch_without_labels_costs_nothing() -> None:
    label = torch.full((2, 3), -1)
    assert task_loss("classification", torch.randn(2, 3, 4), {"label": label}, "history") == 0


def test_calibration_recovers_a_distortion_of_the_logits() -> None:
    torch.manual_seed(0)
    truth = torch.randn(20_000, 1) * 1.5 - 1
    onset = torch.bernoulli(truth.sigmoid()).to(torch.int8)
    labels = {"onset": onset, "at_risk": torch.ones_like(onset, dtype=torch.bool)}
    scale, shift, _ = fit_calibration(HeadSpec("x", "hazard", 1), (truth - 0.7) / 0.5, labels)
    torch.testing.assert_close(torch.tensor(scale + shift), torch.tensor([0.5, 0.7]), atol=0.06, rtol=0)


def test_too_few_onsets_leave_a_bin_as_it_is() -> None:
    torch.manual_seed(0)
    onset = torch.zeros(500, 2, dtype=torch.int8)
    onset[:3, 0] = 1
    onset[:200, 1] = 1
    labels = {"onset": onset, "at_risk": torch.ones(500, 2, dtype=torch.bool)}
    scale, shift, _ = fit_calibration(HeadSpec("x", "hazard", 2), torch.randn(500, 2), labels)
    assert (scale[0], shift[0]) == (1.0, 0.0) and shift[1] != 0.0


def test_a_regression_is_only_put_back_into_its_unit() -> None:
    head = HeadSpec("days", "regression", 1, center=5.0, spread=2.0)
    assert fit_calibration(head, torch.randn(10, 1), {"value": torch.randn(10)}) == Calibration([2.0], [5.0])


def test_a_class_that_the_slice_does_not_hold_is_not_ruled_out() -> None:
    """Nothing in a likelihood holds its shift back; the other classes still move to where the labels say."""
    torch.manual_seed(0)
    raw = torch.randn(2_000, 4)
    label = torch.distributions.Categorical(logits=raw[:, :3] + torch.tensor([0.8, 0.0, 0.0])).sample()
    raw[:, 3] -= 5  # of the training rows a few had it
    scale, shift, _ = fit_calibration(HeadSpec("x", "classification", 4), raw, {"label": label})
    mapped = (raw * torch.tensor(scale) + torch.tensor(shift)).softmax(dim=-1)
    before, after = raw.softmax(dim=-1)[:, 3].mean(), mapped[:, 3].mean()
    assert before / 20 < after < before
    share = torch.bincount(label, minlength=4) / len(label)
    torch.testing.assert_close(mapped.mean(dim=0)[:3], share[:3], atol=0.005, rtol=0)
