from __future__ import annotations

import json
import re

import pytest

from benchmarks.config import BenchConfig
from benchmarks.provenance import provenance, slug
from training.provenance import without_folders


def test_a_result_says_where_when_and_with_what_it_was_measured() -> None:
    own = provenance(BenchConfig(seed=5))
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", own["commit"])
    assert own["dirty"] in (True, False, None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", own["time"])
    assert own["host"]["cores"] >= 1 and own["host"]["memory_gib"] > 0 and own["host"]["processor"]
    assert own["host"]["system"].startswith("Linux") and own["host"]["load_1m"] >= 0
    assert own["device"]["provider"] == "cpu" and own["device"]["name"]
    assert own["versions"].keys() >= {"python", "onnxruntime", "ray", "numpy"}
    assert own["environment"]["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"
    assert own["seed"] == 5
    assert own["settings"]["suite"]["repeats"] == 3 and own["settings"]["threads"] == 0
    json.dumps(own)


def test_settings_of_the_environment_are_recorded_and_nothing_else_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("SERVICE_API_KEY", "a secret")
    own = provenance(BenchConfig())
    assert own["environment"]["OMP_NUM_THREADS"] == "1"
    assert "a secret" not in json.dumps(own)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("bundle=/srv/models/v3/bundle", "bundle=…/bundle"),
        ("'/srv/a/b.json' /srv/c", "'…/b.json' …/c"),
        ("out=benchmarks/results", "out=benchmarks/results"),
        ("suite.raw.lengths=[64]", "suite.raw.lengths=[64]"),
    ],
)
def test_folders_of_the_machine_are_left_out(written: str, kept: str) -> None:
    assert without_folders(written) == kept
    assert provenance(BenchConfig(bundle=written))["settings"]["bundle"] == kept


def test_the_device_names_the_file() -> None:
    assert re.fullmatch(r"\d+-core-cpu", slug(BenchConfig()))
    assert re.fullmatch(r"\d+-core-cpu-fp16", slug(BenchConfig(precision="fp16")))
