"""Kept results: trained once, resumed, recorded beside their page, and held against their claims in the summary."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forewarn.bundle import Bundle
from training.results.claims import Claim, Entry, SuiteConfig
from training.results.record import load_record, record_path, run_record
from training.results.suite import for_encoder, report_path, run_suite
from training.results.summary import BEGIN, summary_table, verdict, verdicts, write_summary


def estimate(value: float, low: float | None = None, high: float | None = None) -> dict[str, float | None]:
    return {"value": value, "low": low, "high": high}


def record(**horizon: Any) -> dict[str, Any]:
    ever = {"auroc": estimate(0.83, 0.82, 0.84), "brier": estimate(0.16, 0.15, 0.17)} | horizon
    result = {"kind": "hazard", "rows": 9, "clusters": 3, "horizons": {"ever": ever}}
    rival = {"kind": "hazard", "horizons": {"ever": {"brier": estimate(0.155), "auroc": estimate(0.80)}}}
    return {
        "format": 1, "title": "x on somewhere", "commit": "abc", "date": "2026-11-24", "shipped": {"x": "hybrid"},
        "metrics": {"hybrid": {"x": result}, "lightgbm": {"x": rival}},
    }  # fmt: skip


def claim(**fields: Any) -> Claim:
    return Claim(**{"task": "x", "horizon": "ever", "measure": "auroc", "reach": 0.82} | fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reach": 0.83}, "met"),
        ({"reach": 0.835}, "within noise"),
        ({"reach": 0.85}, "missed"),
        ({"measure": "brier", "reach": 0.16}, "met"),
        ({"measure": "brier", "reach": 0.155}, "within noise"),
        ({"measure": "brier", "reach": 0.14}, "missed"),
        ({"reach": None, "beat": 0.82}, "met"),  # without a reach, the value to beat is it
        ({"reach": None, "measure": "brier", "rival": "lightgbm"}, "within noise"),
        ({"reach": None, "rival": "lightgbm"}, "met"),
        ({"row": "gru"}, "-"),  # that run did not measure one
    ],
)
def test_a_claim_is_met_missed_or_within_the_noise_of_its_measurement(fields: Any, expected: str) -> None:
    assert verdict(claim(**fields), record()) == expected


def test_a_value_without_interval_is_met_or_missed() -> None:
    measured = record(auroc=estimate(0.83))
    assert [verdict(claim(reach=reach), measured) for reach in (0.83, 0.831)] == ["met", "missed"]


def test_values_are_compared_as_they_are_shown() -> None:
    assert verdict(claim(reach=0.83), record(auroc=estimate(0.8296, 0.82, 0.84))) == "met"
    assert verdict(claim(reach=0.83), record(auroc=estimate(0.8294, 0.82, 0.84))) == "within noise"


def test_a_claim_by_prefix_is_held_against_that_prefix_alone() -> None:
    entries = [{"k": k, "variable": {"auroc": estimate(0.7 + k / 10)}} for k in (1, 2)]
    measured = record(by_prefix=entries)
    assert [verdict(claim(k=k, reach=0.85), measured) for k in (1, 2, 3)] == ["missed", "met", "-"]


def test_a_claim_about_what_a_run_does_not_measure_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"claims: found '1d', expected one of ever of hybrid in x on somewhere"):
        verdict(claim(horizon="1d"), record())
    with pytest.raises(ValueError, match=r"claims\.measure: found 'auc', expected one of auroc"):
        claim(measure="auc")
    with pytest.raises(ValueError, match=r"claims\.k: found 2 with 'brier'"):
        claim(measure="brier", k=2)


def test_an_entry_of_an_unknown_command_or_with_a_report_that_no_bundle_can_give_is_refused() -> None:
    with pytest.raises(ValueError, match=r"command: found 'fit', expected one of train, rolling, learning_curve"):
        Entry("x", "x.md", "fit")
    with pytest.raises(ValueError, match=r"report: found one of 'rolling'"):
        Entry("x", "x.md", "rolling", report=["data=uci_servicenow"])


def test_an_encoder_is_trained_under_those_overrides_that_it_has_a_key_for() -> None:
    given = ["trainer=gpu", "trainer.progress=false", "boosting.threads=1", "+logger=mlflow", "ensemble=2"]
    assert for_encoder(given) == ["trainer=gpu", "trainer.progress=false", "+logger=mlflow"]


def test_the_summary_shows_a_row_per_claim_and_dashes_for_what_nobody_measured(tmp_path: Path) -> None:
    known = {
        "x": Entry("somewhere", str(tmp_path / "x.md"), claims=[claim(beat=0.825, source="a paper"), claim(reach=0.9)]),
        "y": Entry("elsewhere", str(tmp_path / "y.md"), claims=[claim()]),
    }
    (tmp_path / "records").mkdir()
    record_path(tmp_path / "x.md").write_text(json.dumps(record()))
    rows = summary_table(known, tmp_path / "README.md").splitlines()[2:]
    assert rows[0] == (
        "| [somewhere](x.md) | x, ever, AUROC | .825 (a paper) | ≥ .820 | .830 [.820, .840] | hybrid (shipped) "
        "| `abc` | 2026-11-24 | met |"
    )
    assert rows[1].endswith("| missed |")
    assert rows[2] == "| elsewhere | x, ever, AUROC | - | ≥ .820 | - | shipped | - | - | - |"
    assert verdicts(known) == {"met": 1, "within noise": 0, "missed": 1, "-": 1}


def test_prose_around_the_table_survives_and_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    write_summary(page, "| old |")
    page.write_text(page.read_text().replace("# Results", "# Results\n\nWhat they say.") + "\nWhat is left.\n")
    write_summary(page, "| new |")
    text = page.read_text()
    assert "old" not in text and text.index("What they say.") < text.index("| new |") < text.index("What is left.")
    page.write_text(text.replace(BEGIN, ""))
    with pytest.raises(ValueError, match="summary: found no lines"):
        write_summary(page, "| newer |")
    assert "newer" not in page.read_text()


@pytest.mark.usefixtures("runs_here")
def test_a_suite_trains_once_goes_on_where_it_was_interrupted_and_can_measure_anew(
    small: list[str], tmp_path: Path
) -> None:
    page, run = tmp_path / "pages" / "calm.md", tmp_path / "runs" / "calm"
    recipe = [*small, "protocol=customer", "bootstrap=10", "baselines=[prior]"]
    asked = [*(own for own in small if own.startswith("data")), "protocol=customer", "bootstrap=0"]
    claims = [Claim("escalation", "auroc", "14d", beat=0.5)]
    entry = Entry("simulated customers", str(page), train=recipe, report=asked, claims=claims)
    config = SuiteConfig({"calm": entry}, runs=str(run.parent), summary=str(page.parent / "README.md"))
    assert run_suite(config, config.suite)["written"] == ["calm"]

    found = load_record(record_path(page))
    assert found["metrics"].keys() == {"transformer", "prior"}
    assert found["metrics"]["transformer"]["escalation"]["horizons"]["14d"]["auroc"].keys() == {"value", "low", "high"}
    assert found["command"].startswith("python -m training.train model=tiny") and found["machine"]
    assert found["model"]["hash"] == Bundle.load(run / "bundle").model_hash
    assert str(tmp_path) not in json.dumps(found) + page.read_text()
    assert f"`{found['command']}`" in page.read_text() and page.read_text() == (run / "report.md").read_text()
    assert "[simulated customers](calm.md)" in Path(config.summary).read_text()
    report = report_path(page)
    assert report.name == "calm_report.md" and "Ablations" in report.read_text()

    assert run_suite(config, config.suite)["written"] == []

    # A report that is missing alone is taken from the run.
    report.unlink()
    made = (run / "evaluation" / "report.json").stat().st_mtime_ns
    assert run_suite(config, config.suite)["written"] == ["calm"]
    assert report.is_file() and (run / "evaluation" / "report.json").stat().st_mtime_ns == made
    assert load_record(record_path(page)) == found

    # As if it had been killed before it measured.
    record_path(page).unlink()
    (run / "metrics.json").unlink()
    fitted = (run / "checkpoints" / "facts.json").stat().st_mtime_ns
    assert run_suite(config, config.suite)["written"] == ["calm"]
    resumed = load_record(record_path(page))
    assert (run / "checkpoints" / "facts.json").stat().st_mtime_ns == fitted, "what was fitted is not fitted again"
    assert resumed["command"] == found["command"], "the first command made the run"
    assert resumed["metrics"] == found["metrics"]

    # A finished run without record is taken as it is.
    record_path(page).unlink()
    measured = (run / "metrics.json").stat().st_mtime_ns
    assert run_suite(replace(config, train=False), config.suite)["written"] == ["calm"]
    assert (run / "metrics.json").stat().st_mtime_ns == measured

    encoder = run.with_name("calm-encoder")
    encoder.mkdir()
    run_suite(replace(config, rerun=True), config.suite)
    assert (run / "checkpoints" / "facts.json").stat().st_mtime_ns > fitted
    assert not encoder.exists(), "an encoder is made anew with the run that reads it"
    assert load_record(record_path(page))["created"] == run_record(run)["created"]


def test_a_folder_of_another_recipe_and_a_failing_training_are_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    entry = Entry("nothing", str(tmp_path / "x.md"), train=["trainer.epochs=0"])
    config = SuiteConfig({"x": entry}, runs=str(tmp_path / "runs"), summary=str(tmp_path / "README.md"))
    with pytest.raises(ValueError, match=r"^suite: x ended with an error"):
        run_suite(config, config.suite)
    assert "trainer.epochs: found 0" in capfd.readouterr().err
    assert (tmp_path / "README.md").is_file()
    run = tmp_path / "runs" / "x"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("run: elsewhere\n")
    (run / "origin.json").write_text(json.dumps({"command": "python -m training.train seed=5"}))
    with pytest.raises(ValueError, match=r"run of `python -m training.train seed=5`, expected that of .*epochs=0"):
        run_suite(config, config.suite)
