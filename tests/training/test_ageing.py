"""Ageing in training: silences drawn fairly, learned where they are the only signal, refused where they say nothing."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from forewarn.bundle import Bundle, Scorer
from forewarn.events import Event, History
from forewarn.model import HeadSpec, SequenceModel
from forewarn.model.scores import Calibration
from forewarn.sequence import RaggedDataset
from forewarn.targets import TargetSpec, label_silences
from training.calibration import fit_ageing
from training.config import EvaluateConfig, TrainConfig, compose
from training.export import export_bundle
from training.fit import load_network
from training.labelled import LabelledSplits
from training.measure_silences import measure_silences
from training.prepare import Prepared, prepare
from training.pretrained import start_from
from training.silences import PER_EVENT, SILENCE, draw_silences
from training.target import load_target
from training.train import train

HOUR_S = 3_600.0


@pytest.fixture(scope="module")
def measured(silent_config: TrainConfig, silent_run: Path) -> dict[bool, Any]:
    """Metrics of the onset per silence and horizon, of the ageing bundle and of one that does not age."""
    plain = replace(silent_config, model=replace(silent_config.model, ageing=False), run=f"{silent_config.run}-plain")
    train(plain)
    found = {}
    for ageing, run in ((True, silent_config.run), (False, plain.run)):
        config = EvaluateConfig(
            bundle=f"{run}/bundle", data=silent_config.data, protocol=silent_config.protocol, bootstrap=0
        )
        assert measure_silences(config)["ages"] == ageing
        silences = json.loads((Path(run) / "silences-test" / "silences.json").read_text())["silences"]
        found[ageing] = {name: own["onset"] for name, own in silences.items()}
    return found


def value(measured: dict[str, Any], silence: str, horizon: str, metric: str) -> float:
    return float(measured[silence][horizon][metric]["value"])


def test_where_silence_is_the_only_signal_the_head_learns_it_and_a_kept_score_does_not(measured: Any) -> None:
    aged, kept = measured[True], measured[False]
    assert aged["6h"]["2h"]["prevalence"] > 5 * aged["0"]["2h"]["prevalence"], "the data says what it was made to say"
    for silence in ("1h", "6h"):
        assert aged[silence]["2h"]["rows"] == kept[silence]["2h"]["rows"] > 200
    assert value(aged, "6h", "2h", "log_loss") < 0.8 * value(kept, "6h", "2h", "log_loss")
    assert abs(aged["6h"]["2h"]["mean_risk"] - aged["6h"]["2h"]["prevalence"]) < 0.12
    assert aged["6h"]["2h"]["mean_risk"] > 3 * aged["0"]["2h"]["mean_risk"]


def test_without_silence_the_score_is_as_good_as_that_of_a_network_that_does_not_age(measured: Any) -> None:
    for horizon in ("2h", "12h"):
        aged, kept = (value(measured[own], "0", horizon, "log_loss") for own in (True, False))
        assert aged < kept + 0.02


def test_observation_points_of_all_silences_are_ranked_by_silence(silent_config: TrainConfig, silent_run: Path) -> None:
    """AUROC over ticks of a clock: the score that was kept cannot tell the hours before an onset from others."""
    bundle = Bundle.load(silent_run / "bundle")
    splits = LabelledSplits.open(
        silent_config.data, load_target(silent_config), silent_config.protocol, silent_run / "again"
    )
    scorer, hours = Scorer(bundle, threads=1), np.arange(0.5, 12, 1.5)
    ticks = np.rint(hours * HOUR_S * 1e6).astype(np.int64)
    kept: list[float] = []
    aged: list[float] = []
    onset: list[int] = []
    for whole in list(splits.visible("test"))[:12]:
        labels = label_silences(
            bundle.target, whole, np.tile(ticks, (len(whole.events), 1)), observed_until=splits.assignment.data_end
        )["onset"]
        within, known = (array[:, :, 0] for array in labels.cumulative())
        prefixes = [History("h", "h", whole.events[: i + 1]) for i, _ in zip(*np.nonzero(known), strict=True)]
        moments = [
            whole.events[i].ingested_at + timedelta(hours=float(hours[j]))
            for i, j in zip(*np.nonzero(known), strict=True)
        ]
        aged += [float(score["onset"][-1, 0]) for score in scorer.score(prefixes, moments)]
        kept += [float(score["onset"][-1, 0]) for score in scorer.score(prefixes)]
        onset += within[known].tolist()
    assert auroc(aged, onset) > 0.75 > 0.6 > auroc(kept, onset)


def auroc(score: list[float], label: list[int]) -> float:
    positive, negative = (np.array(score)[np.array(label) == own] for own in (1, 0))
    above = (positive[:, None] > negative).mean() + 0.5 * (positive[:, None] == negative).mean()
    return float(above)


def test_the_loss_of_the_events_themselves_is_kept_beside_what_is_minimised(silent_run: Path) -> None:
    curve = json.loads((silent_run / "metrics.json").read_text())["training"]["curve"]
    assert all(epoch["valid/objective"] > epoch["valid/loss"] > 0 for epoch in curve)
    best = json.loads((silent_run / "metrics.json").read_text())["training"]["valid_loss"]
    assert best == pytest.approx(min(epoch["valid/objective"] for epoch in curve))


def test_the_graph_takes_the_silence_and_says_what_torch_says(silent_run: Path) -> None:
    bundle = Bundle.load(silent_run / "bundle")
    assert bundle.manifest.parity["fp32"] <= 1e-4
    assert bundle.manifest.model["ageing"] is True
    scorer = Scorer(bundle, threads=1)
    assert scorer.ages and "silence" in scorer.input_names


def test_a_graph_that_ages_otherwise_is_not_shipped(
    silent_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parity check asks with silences: a graph whose ageing was lost is refused."""
    from training import export

    real = export.export_graph

    def forgetful(scores: Any, path: Path, precision: str) -> None:
        numb = copy.deepcopy(scores)
        torch.nn.init.zeros_(numb.model.ageing.change.weight)
        real(numb, path, precision)

    monkeypatch.setattr(export, "export_graph", forgetful)
    prepared = Prepared.load(silent_run / "data" / "encoded")
    with pytest.raises(ValueError, match=r"sequence\.onnx: differs from torch"):
        export_bundle(load_network(silent_run), prepared, tmp_path / "bundle", ["fp32"])


def test_the_calibration_of_ageing_leaves_that_of_the_events_alone() -> None:
    """A change that validation finds twice too small is doubled; where it holds no onset it is not listened to."""
    torch.manual_seed(0)
    head, events = HeadSpec("o", "hazard", 2), Calibration([0.8, 1.2], [0.1, -0.3])
    raw_NK, change_NSK = torch.randn(20_000, 2), torch.randn(20_000, 2, 2)
    true = raw_NK.unsqueeze(1) * torch.tensor(events.scale) + torch.tensor(events.shift) + 2 * change_NSK
    onset = torch.rand(true.shape) < true.sigmoid()
    onset[:, :, 1] = False
    labels = {"aged_onset": onset, "aged_at_risk": torch.ones(onset.shape, dtype=torch.uint8)}
    found = fit_ageing(head, events, raw_NK, change_NSK, labels)
    assert (found.scale, found.shift) == (events.scale, events.shift)
    assert found.ageing == [pytest.approx(2.0, abs=0.1), 1.0]


def test_silences_are_drawn_blind_to_what_follows() -> None:
    """Of a world without memory silence tells nothing: onsets within the horizon are as frequent after any."""
    rng = np.random.default_rng(0)
    moments = np.cumsum(rng.exponential(60.0, 6_000))  # minutes after the start
    start = datetime(2026, 1, 1, tzinfo=UTC)
    events = [
        Event(event_id=str(i), source="t", customer_id="c", type="onset" if rng.random() < 0.3 else "ping",
              occurred_at=moment, ingested_at=moment)
        for i, moment in enumerate(start + timedelta(minutes=m) for m in moments.tolist())
    ]  # fmt: skip
    task = {"name": "o", "kind": "hazard", "onset": {"when": {"field": "type", "equals": "onset"}}, "horizons": ["30m"]}
    spec = TargetSpec.parse({"name": "t", "complete": False, "tasks": [task]})
    silence_TS = draw_silences("c", len(events), 86_400.0)
    labels = label_silences(spec, History("c", "c", events), silence_TS)["o"]
    expected = 1 - np.exp(-30 * 0.3 / 60)
    for low, high in ((0, 20), (20, 60), (60, 200)):  # minutes
        asked = labels.at_risk[:, :, 0] & (silence_TS >= low * 6e7) & (silence_TS < high * 6e7)
        assert asked.sum() > 300
        share = labels.onset[:, :, 0][asked].mean()
        assert share == pytest.approx(expected, abs=4 * np.sqrt(expected / asked.sum())), (low, share)


def test_silences_depend_on_the_name_alone_and_cover_every_part_of_their_range() -> None:
    whole = draw_silences("c1", 50, 86_400.0)
    np.testing.assert_array_equal(draw_silences("c1", 20, 86_400.0), whole[:20])
    assert not np.array_equal(draw_silences("c2", 50, 86_400.0), whole)
    assert whole.shape == (50, PER_EVENT) and (whole > 0).all() and (whole <= 86_400e6).all()
    assert (np.diff(whole, axis=1) > 0).all(), "one in each part, in order"


def test_prepared_data_holds_silences_only_where_they_are_learned(silent_config: TrainConfig, tmp_path: Path) -> None:
    target, columns = load_target(silent_config), {}
    for ageing in (True, False):
        config = replace(silent_config, model=replace(silent_config.model, ageing=ageing), run=str(tmp_path))
        prepared = prepare(config, target, tmp_path / "data")
        columns[ageing] = {split: RaggedDataset(prepared.split(split))[0][1] for split in ("train", "valid", "test")}
    for split in ("train", "valid"):
        new = columns[True][split].keys() - columns[False][split].keys()
        assert new == {SILENCE, "onset.aged_onset", "onset.aged_at_risk"}
        length = len(columns[True][split]["position"])
        assert columns[True][split]["onset.aged_onset"].shape == (length, PER_EVENT, 2)
    assert columns[True]["test"].keys() == columns[False]["test"].keys()


def test_an_ageing_network_starts_from_the_body_of_one_that_does_not_age(silent_run: Path) -> None:
    aged = load_network(silent_run)
    assert isinstance(aged, SequenceModel)
    plain = SequenceModel(replace(aged.config, ageing=False), aged.inputs, aged.head_specs)
    fresh = SequenceModel(aged.config, aged.inputs, aged.head_specs)
    start_from(fresh, plain, 0, "earlier")
    for own, before in zip(fresh.backbone.parameters(), plain.backbone.parameters(), strict=True):
        assert torch.equal(own, before)


def test_a_score_as_of_before_the_last_event_is_refused_and_so_is_any_of_a_model_that_does_not_age(
    silent_run: Path, measured: Any
) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    event = Event(event_id="1", source="t", customer_id="c", type="ping", occurred_at=moment, ingested_at=moment)
    history = History("c", "c", [event])
    aged = Scorer(Bundle.load(silent_run / "bundle"), threads=1)
    with pytest.raises(
        ValueError, match=r"as_of: found 2025-12-31T23:59:00\+00:00, expected no moment before the last"
    ):
        aged.score([history], [moment - timedelta(minutes=1)])
    plain = Scorer(Bundle.load(Path(f"{silent_run}-plain") / "bundle"), threads=1)
    with pytest.raises(ValueError, match=r"as_of: found .* does not move with silence; .*model\.ageing=true"):
        plain.score([history], [moment])
    assert set(plain.score([history], [None])[0]) == {"onset"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "data.clock=none",
            r"model\.ageing: found true with data\.clock=none.* silence is time; .*model\.ageing=false",
        ),
        ("hybrid.enabled=true", r"model\.ageing: found true with hybrid\.enabled=true, .*trees know no silence"),
    ],
)
def test_what_cannot_age_is_refused_by_name(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compose("model.ageing=true", override, "run=unused")


def test_a_target_without_a_hazard_has_nothing_to_age(silent_config: TrainConfig, tmp_path: Path) -> None:
    spec = TargetSpec.load("next_event")
    with pytest.raises(ValueError, match=r"model\.ageing: found true, but target next_event has no hazard task"):
        prepare(replace(silent_config, run=str(tmp_path)), spec, tmp_path / "data")
