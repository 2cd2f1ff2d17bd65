"""A training at several origins: every cut learns from the past alone, every history is tested once, one page tells."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forewarn.targets import HistorySummary, ProtocolConfig, assign_splits
from training.bootstrap import Ranking, estimates
from training.config import TrainConfig, compose
from training.origins.config import RollingConfig
from training.origins.cuts import lay_origins, origin_overrides, origin_protocol
from training.origins.pool import OriginRows, mean_of, pool
from training.results.claims import Claim, Entry, SuiteConfig
from training.results.record import load_record, record_path
from training.results.suite import run_suite
from training.rolling import rolling

DAY_0 = datetime(2026, 1, 1, tzinfo=UTC)


def configured(*overrides: str) -> RollingConfig:
    config: RollingConfig = compose("run=somewhere", *overrides, root="rolling", kind=RollingConfig)
    return config


def summary(number: int, start: float, end: float) -> HistorySummary:
    return HistorySummary(f"h{number}", f"c{number}", DAY_0 + timedelta(days=start), DAY_0 + timedelta(days=end))


histories = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 60)), min_size=60, max_size=90, unique_by=lambda own: own[0]
).map(lambda own: [summary(i, start, start + long) for i, (start, long) in enumerate(own)])


@settings(deadline=None, max_examples=60)
@given(index=histories, origins=st.integers(1, 4), tuning=st.booleans())
def test_each_origin_learns_from_its_past_and_every_later_history_is_tested_once(
    index: list[HistorySummary], origins: int, tuning: bool
) -> None:
    dropping = ProtocolConfig(straddlers="drop", valid="random")
    laid = lay_origins(index, RollingConfig(protocol=dropping, origins=origins, tuning=tuning))
    tested: list[str] = []
    for origin in laid:
        found = assign_splits(index, origin_protocol(dropping, origin))
        assert found.cut == found.learn_until == origin.cut
        past = {own.unit for own in index if own.start < origin.cut}
        assert {unit for unit, split in found.split.items() if split in ("train", "valid")} == past, "none is dropped"
        tested += [unit for unit, split in found.split.items() if split == "test"]
        if origin.known_until is not None:
            assert found.data_end <= origin.known_until
    until = laid[0].known_until
    later = [own.unit for own in index if own.start >= laid[0].cut and (until is None or own.start < until)]
    assert sorted(tested) == sorted(later)
    assert (until is not None) == tuning
    if until is not None:
        split = assign_splits(index, dropping)
        assert not {unit for unit, kind in split.split.items() if kind == "test"} & set(tested)


def test_origins_that_would_fall_together_are_refused() -> None:
    with pytest.raises(ValueError, match="origins: found 3 of which two are at the same time, among 20 histories"):
        lay_origins([summary(i, i // 18, 5) for i in range(20)], configured("origins=3"))


@pytest.mark.parametrize(
    ("override", "message"),
    [("origins=0", "origins: found 0"), ("first=1", "first: found 1"), ("measure=false", "measure: found false")],
)
def test_a_setting_that_cannot_be_is_refused_by_name(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        configured(override)


def test_data_without_clock_has_no_origins(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="data: found uss_sgd with no clock"):
        rolling(configured("data=uss_sgd", f"run={tmp_path / 'x'}"), [])


@pytest.mark.parametrize("tuning", [False, True])
def test_what_a_command_was_given_reaches_each_run_but_for_what_the_origin_decides(tuning: bool) -> None:
    own = ["experiment=sla_miss", "origins=3", f"tuning={tuning}", "page=x.md", "run=y", "protocol.valid=latest"]
    config = configured(*own)
    origin = lay_origins([summary(i, i, i + 1) for i in range(60)], config)[0]
    found = origin_overrides(own, config, origin)
    assert found[:2] == ["experiment=sla_miss", "protocol=temporal"]
    assert not set(own[1:]) & (set(found) - {"protocol.valid=latest"})
    run: TrainConfig = compose(*found, "run=x")
    assert run.protocol == origin_protocol(config.protocol, origin)
    assert (run.protocol.name, run.protocol.straddlers, run.protocol.published) == ("rolling", "censor", {})
    assert (run.protocol.valid, run.protocol.start, run.protocol.max_prefix) == ("latest", "opened_at", 8)
    assert (run.protocol.data_end is not None) == tuning
    assert run.predictions and run.ensemble == config.ensemble == 8


def test_each_origin_counts_alike_however_many_rows_it_has() -> None:
    rng = np.random.default_rng(0)
    sizes, parts = (400, 40), []
    for rows in sizes:
        score = rng.uniform(size=rows)
        parts.append(Ranking(score, rng.uniform(size=rows) < (score if rows == 400 else 0.5)))
    alone = [estimates(part, np.arange(rows), 0, 0)["auroc"]["value"] for part, rows in zip(parts, sizes, strict=True)]
    found = estimates(mean_of(parts, sizes), np.arange(440), 200, 0)["auroc"]
    assert found["value"] == pytest.approx(sum(alone) / 2)
    small = estimates(parts[1], np.arange(40), 200, 0)["auroc"]
    assert small["high"] - small["low"] > found["high"] - found["low"] > (small["high"] - small["low"]) / 3


@pytest.mark.usefixtures("runs_here")
def test_runs_at_two_origins_make_one_page_and_what_was_interrupted_goes_on(small: list[str], tmp_path: Path) -> None:
    run, page = tmp_path / "run", tmp_path / "rolling.md"
    trained = [*small, "data.options.customers=90", "bootstrap=10", "baselines=[prior,lightgbm]"]
    own = [*trained, "origins=2", "first=0.4", f"run={run}", f"page={page}"]
    config = configured(*own)
    result = rolling(config, own)
    assert len(result["origins"]) == 2

    record = load_record(record_path(page))
    parts = record["origins"]
    assert record["metrics"].keys() == {"transformer", "prior", "lightgbm"}
    assert parts[0]["end"] == parts[1]["cut"] and parts[1]["end"] is None
    assert parts[0]["histories"]["train"] < parts[1]["histories"]["train"]
    measured: dict[str, Any] = record["metrics"]["transformer"]["escalation"]["horizons"]["3d"]
    alone = [part["metrics"]["transformer"]["escalation"]["horizons"]["3d"] for part in parts]
    assert measured["auroc"]["value"] == pytest.approx(np.mean([p["auroc"]["value"] for p in alone]), abs=1e-5)
    assert measured["brier"]["low"] < measured["brier"]["value"] < measured["brier"]["high"]
    assert measured["rows"] == sum(p["rows"] for p in alone)
    rows = {own["escalation"]["horizons"]["3d"]["rows"] for own in record["metrics"].values()}
    assert len(rows) == 1, "every model is measured on the same rows"
    text = page.read_text()
    assert text.startswith("# escalation on simulator, rolling origin") and "| 2 | 2026-" in text
    assert "### escalation, 3d, AUROC" in text and "| model | origin 1 | origin 2 |" in text
    assert str(tmp_path) not in text + json.dumps(record)
    tested = [OriginRows.load(run / f"origin-{number}") for number in (1, 2)]
    again = pool(tested, 0, 0)["prior"]["escalation"]["horizons"]["3d"]["brier"]
    assert again["value"] == pytest.approx(
        record["metrics"]["prior"]["escalation"]["horizons"]["3d"]["brier"]["value"], abs=1e-5
    )

    # As if it had been killed while the second run was measured.
    (run / "origin-2" / "metrics.json").unlink()
    page.unlink()
    first = (run / "origin-1" / "metrics.json").stat().st_mtime_ns
    fitted = (run / "origin-2" / "checkpoints" / "facts.json").stat().st_mtime_ns
    rolling(config, own)
    assert (run / "origin-1" / "metrics.json").stat().st_mtime_ns == first
    assert (run / "origin-2" / "checkpoints" / "facts.json").stat().st_mtime_ns == fitted
    assert load_record(record_path(page))["metrics"] == record["metrics"]

    # A suite takes the finished run for its entry.
    (run / "origin.json").unlink()
    claim = Claim("escalation", "brier", "3d", row="transformer", rival="prior")
    kept = Entry("simulated customers", str(tmp_path / "kept.md"), "rolling", trained, claims=[claim])
    suite = SuiteConfig({"run": kept}, runs=str(tmp_path), summary=str(tmp_path / "README.md"))
    assert sum(run_suite(suite, suite.suite)["claims"].values()) == 1
    assert (tmp_path / "kept.md").read_text().split("\n", 3)[3] == page.read_text().split("\n", 3)[3]
    assert load_record(record_path(tmp_path / "kept.md"))["origins"] == parts

    with pytest.raises(ValueError, match=r"run: found in .*origin-1 the run of .* remove the folder"):
        rolling(config, [*own, "seed=7"])
