"""Whole runs: a suite with the real service on few counts, the raw suite without Ray, an untrained bundle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from benchmarks.bundles import bundle_under_test, untrained_bundle
from benchmarks.config import BenchConfig

_QUICK = (
    "suite.pool=8", "suite.seconds=0.2", "suite.raw.seconds=0.02", "suite.raw.batch_sizes=[1,4]",
    "suite.raw.lengths=[16]",
)  # fmt: skip
_ROWS = (
    "{histories:1,connections:[2],events:16},{histories:4,connections:[2],events:null,trajectory:false},"
    "{histories:1,connections:[1],events:16,cold_text:true}"
)


def bench(repository: Path, *arguments: str, before: str = "") -> dict[str, Any]:
    """Runs the command after some Python code; its last line."""
    code = (
        f"import sys\n{before}\nimport runpy\nrunpy.run_module('benchmarks.run', run_name='__main__', alter_sys=True)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return answer


@pytest.fixture(scope="module")
def smoke(repository: Path, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a quick smoke run printed, and the result it wrote."""
    out = tmp_path_factory.mktemp("results")
    suite = ["suite=smoke", *_QUICK, f"suite.http=[{_ROWS}]"]
    printed = bench(repository, *suite, f"bundle={tiny_bundle}", f"out={out}")
    return {"printed": printed, "result": json.loads(Path(printed["file"]).read_text())}


def test_smoke_writes_a_result_its_table_and_the_headline(smoke: dict[str, Any]) -> None:
    printed, result = smoke["printed"], smoke["result"]
    assert Path(printed["table"]).read_text().startswith("# smoke on ")
    assert printed["headline"]["errors"] == 0
    assert 0 < printed["headline"]["ratio to raw, 1 per request"] == result["http"][0]["ratio"]["mean"]
    assert result["model"]["trained"] is True
    assert result["service"]["ready_s"] > 0


def test_every_row_was_repeated_between_measurements_of_its_ceiling(smoke: dict[str, Any]) -> None:
    for row in smoke["result"]["http"]:
        assert len(row["ratio"]["values"]) == 3
        for ratio, rate, raw in zip(
            row["ratio"]["values"], row["events_per_s"]["values"], row["raw_events_per_s"]["values"], strict=True
        ):
            assert ratio == pytest.approx(rate / raw, rel=1e-3)
        assert row["statuses"] == {"200": row["latency_ms"]["n"]}
        assert row["server_cpu_us_per_request"]["mean"] > 0
        assert row["client_cpu_us_per_request"]["mean"] > 0
        assert row["latency_ms"]["p50"] > 0
        assert row["mean_batch"]["min"] >= 1


def test_padding_shows_where_lengths_differ(smoke: dict[str, Any]) -> None:
    rows = {row["workload"]: row for row in smoke["result"]["http"] if not row["cold_text"]}
    # Not in every repeat: the service's own health check, one event, may share a batch.
    assert rows["16 events"]["padding_waste"]["min"] == 0
    assert 0 <= rows["ragged"]["padding_waste"]["mean"] < 1


def test_new_texts_cost_the_service_more(smoke: dict[str, Any]) -> None:
    warm, _, cold = smoke["result"]["http"]
    assert cold["cold_text"]
    assert cold["server_cpu_us_per_history"]["mean"] > 2 * warm["server_cpu_us_per_history"]["mean"]


def test_the_result_holds_no_folder_of_the_machine(smoke: dict[str, Any], tiny_bundle: Path) -> None:
    assert str(tiny_bundle.parent) not in json.dumps(smoke["result"])


def test_the_raw_suite_runs_without_ray_and_without_psutil(repository: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    printed = bench(
        repository, "suite=raw", *_QUICK, f"bundle={tiny_bundle}", f"out={tmp_path}",
        before="sys.modules['ray'] = sys.modules['psutil'] = None",
    )  # fmt: skip
    result = json.loads(Path(printed["file"]).read_text())
    assert "http" not in result
    assert result["ceiling"]["gflop_per_s"]["mean"] > 0
    assert all(cell["share_of_ceiling"]["mean"] > 0 for cell in result["raw"])


def test_a_mistake_is_one_line_that_names_the_setting(repository: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.run", "suite.repeats=1"]
    ran = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1].startswith("error: suite.repeats: found 1, expected at least 3")


def test_a_setting_that_the_service_refuses_is_named(repository: Path, tiny_bundle: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.run", *_QUICK, f"suite.http=[{_ROWS}]", f"bundle={tiny_bundle}"]
    ran = subprocess.run(
        [*command, "+serve.token_budget=-1"], cwd=repository, capture_output=True, text=True, timeout=90, check=False
    )
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1].startswith("error: serving.run: token_budget: found -1")


def test_a_gpu_that_is_not_there_is_a_mistake_too(repository: Path, tiny_bundle: Path) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return
    command = [sys.executable, "-m", "benchmarks.run", "suite=raw", "provider=cuda", f"bundle={tiny_bundle}"]
    ran = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert "error: provider: found 'cuda'" in ran.stderr


def test_an_untrained_bundle_is_built_once_and_says_what_it_is(tmp_path: Path) -> None:
    config = BenchConfig(model="tiny", text="none", cache=str(tmp_path))
    bundle, trained = bundle_under_test(config)
    assert not trained
    assert bundle.manifest.model["name"] == "tiny"
    built = (bundle.path / "manifest.json").stat().st_mtime_ns
    assert untrained_bundle(config) == bundle.path
    assert (bundle.path / "manifest.json").stat().st_mtime_ns == built
