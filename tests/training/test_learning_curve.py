"""A learning curve: shares within shares, one validation and test for all, one page, continued where it stopped."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forewarn.targets import HistorySummary, ProtocolConfig, assign_splits
from training.config import compose
from training.learning_curve import LearningCurveConfig, learning_curve
from training.results.claims import Entry, SuiteConfig
from training.results.suite import run_suite

DAY_0 = datetime(2026, 1, 1, tzinfo=UTC)


def configured(*overrides: str) -> LearningCurveConfig:
    config: LearningCurveConfig = compose(*overrides, root="learning_curve", kind=LearningCurveConfig)
    return config


def test_smaller_shares_lie_within_larger_ones_and_nothing_else_moves() -> None:
    index = [
        HistorySummary(f"h{i}", f"c{i // 2}", DAY_0 + timedelta(days=i), DAY_0 + timedelta(days=i + 1))
        for i in range(200)
    ]
    found = {share: assign_splits(index, ProtocolConfig(train_fraction=share)).split for share in (0.2, 0.5, 1.0)}
    trains = {share: {unit for unit, name in own.items() if name == "train"} for share, own in found.items()}
    assert trains[0.2] < trains[0.5] < trains[1.0]
    assert len(trains[0.2]) == pytest.approx(0.2 * len(trains[1.0]), abs=2)
    for split in ("valid", "test"):
        assert len({frozenset(unit for unit, name in own.items() if name == split) for own in found.values()}) == 1
    assert {found[0.2][unit] for unit in trains[1.0] - trains[0.2]} == {"dropped"}


@pytest.mark.usefixtures("runs_here")
def test_one_page_shows_every_share_and_the_same_command_goes_on(small: list[str], tmp_path: Path) -> None:
    page = tmp_path / "curve.md"
    own = ["baselines=[prior,logistic]", "bootstrap=10", "shares=[0.5,1]", f"page={page}"]
    overrides = [*small, *own, f"run={tmp_path / 'run'}"]
    config = configured(*overrides)
    learning_curve(config, overrides)
    record = json.loads((tmp_path / "records" / "curve.json").read_text())
    half, whole = record["shares"]
    assert half["histories"]["train"] == pytest.approx(whole["histories"]["train"] / 2, abs=1)
    assert half["histories"]["test"] == whole["histories"]["test"]
    assert f"| training histories | {half['histories']['train']} | {whole['histories']['train']} |" in page.read_text()
    assert "## escalation, 7d, AUROC" in page.read_text() and "| transformer |" in page.read_text()
    graph = tmp_path / "run" / "share-0.5" / "bundle" / "sequence.onnx"
    before = graph.stat().st_mtime_ns
    (tmp_path / "run" / "report.md").unlink()
    learning_curve(config, overrides)
    assert graph.stat().st_mtime_ns == before, "a finished share is not trained again"
    assert (tmp_path / "run" / "report.md").is_file()

    # A suite takes the finished run for its entry.
    (tmp_path / "run" / "origin.json").unlink()
    entry = Entry("simulated customers", str(tmp_path / "kept.md"), "learning_curve", [*small, *own[:-1]])
    suite = SuiteConfig({"run": entry}, runs=str(tmp_path), summary=str(tmp_path / "README.md"))
    assert run_suite(suite, suite.suite)["written"] == ["run"]
    assert (tmp_path / "kept.md").read_text() == (tmp_path / "run" / "report.md").read_text()
    assert json.loads((tmp_path / "records" / "kept.json").read_text())["shares"] == record["shares"]
    assert graph.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("shares=[0.5]", "shares: found .*two or more"),
        ("shares=[0.5,1.5]", "shares: found .*up to 1"),
        ("protocol.train_fraction=0.5", "protocol.train_fraction: found 0.5"),
        ("measure=false", "measure: found false"),
    ],
)
def test_what_is_no_curve_is_refused(override: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        configured("run=somewhere", override)


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"protocol\.train_fraction: found 0"):
        ProtocolConfig(train_fraction=0).check()
