from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compare import changes
from benchmarks.statistics import summarise

Figures = dict[str, Any]


def compare(folder: Path, before: Figures, after: Figures, *options: str) -> subprocess.CompletedProcess[str]:
    files = [folder / "before.json", folder / "after.json"]
    for path, content in zip(files, (before, after), strict=True):
        path.write_text(json.dumps(content))
    command = [sys.executable, "-m", "benchmarks.compare", *map(str, files), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def scaled(result: Figures, row: int, name: str, factor: float) -> Figures:
    changed = deepcopy(result)
    figure = changed["http"][row][name]
    changed["http"][row][name] = summarise([factor * value for value in figure["values"]])
    return changed


def test_the_same_result_passes(result: Figures, tmp_path: Path) -> None:
    ran = compare(tmp_path, result, result)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == {"compared": 4, "fallen": 0, "worst": 0.0}


def test_a_ratio_that_fell_further_than_the_tolerance_fails_and_is_marked(result: Figures, tmp_path: Path) -> None:
    worse = scaled(result, 1, "ratio", 0.85)
    failed = compare(tmp_path, result, worse)
    assert failed.returncode == 1
    assert [line for line in failed.stdout.splitlines() if "FELL" in line and "16 per request" in line]
    assert compare(tmp_path, result, worse, "--tolerance", "0.2").returncode == 0


def test_absolute_figures_never_fail(result: Figures, tmp_path: Path) -> None:
    slower = scaled(scaled(result, 0, "histories_per_s", 0.1), 0, "server_cpu_us_per_history", 10)
    assert compare(tmp_path, result, slower).returncode == 0


def test_raw_results_are_judged_by_their_share_of_the_matrix_product(result: Figures) -> None:
    for name in ("http", "service"):
        del result[name]
    worse = deepcopy(result)
    worse["raw"][0]["share_of_ceiling"] = summarise([0.25, 0.25, 0.25])
    assert [change.relative for change in changes(result, worse)] == [-0.5, 0.0]


def test_rows_of_one_file_only_are_left_out(result: Figures) -> None:
    fewer = deepcopy(result)
    del fewer["http"][0]
    assert {change.row for change in changes(result, fewer)} == {result["http"][1]["name"]}


@pytest.mark.parametrize("field", ["suite", "model.config", "device.precision"])
def test_results_of_different_things_are_refused(field: str, result: Figures, tmp_path: Path) -> None:
    other = deepcopy(result)
    if field == "suite":
        other["suite"] = "raw"
    elif field == "model.config":
        other["model"]["config"] = {"width": 64}
    else:
        other["provenance"]["device"]["precision"] = "fp16"
    ran = compare(tmp_path, result, other)
    assert ran.returncode == 2
    assert f"error: {field}: found" in ran.stderr
