from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from benchmarks.config import BenchConfig, RawConfig, RowConfig, SuiteConfig, load


def composed(repository: Path, *overrides: str) -> BenchConfig:
    with initialize_config_dir(str(repository / "conf"), version_base=None):
        return load(compose("bench", list(overrides)))


def test_settings_of_the_service_are_passed_on_but_for_what_the_suite_sets(repository: Path) -> None:
    assert composed(repository, "+serve.token_budget=2048").serve == {"token_budget": 2048}
    with pytest.raises(ValueError, match=r"serve\.port: found 1234, expected nothing"):
        composed(repository, "+serve.port=1234")


@pytest.mark.parametrize("suite", ["smoke", "raw"])
def test_a_suite_is_called_like_its_file_and_can_be_run(suite: str, repository: Path) -> None:
    assert composed(repository, f"suite={suite}").suite.name == suite


def test_smoke_holds_every_kind_of_row_that_is_promised(repository: Path) -> None:
    rows = composed(repository, "suite=smoke").suite.http
    assert {row.histories for row in rows} == {1, 16}
    assert {row.events for row in rows} == {64, None}
    assert {row.trajectory for row in rows} == {True, False}
    assert any(row.cold_text for row in rows)


def test_raw_starts_no_service(repository: Path) -> None:
    assert composed(repository, "suite=raw").suite.http == []


@pytest.mark.parametrize(
    ("suite", "field"),
    [
        (SuiteConfig(repeats=2), "suite.repeats"),
        (SuiteConfig(pool=0), "suite.pool"),
        (SuiteConfig(raw=RawConfig(batch_sizes=[0])), "suite.raw.batch_sizes"),
        (SuiteConfig(raw=RawConfig(lengths=[], ragged=False)), "suite.raw"),
        (SuiteConfig(http=[RowConfig(connections=[0])]), r"suite.http\[0\].connections"),
        (SuiteConfig(http=[RowConfig(events=128)]), r"suite.http\[0\].events: found 128, expected one of \[64, None\]"),
    ],
)
def test_an_unusable_suite_is_refused_by_field(suite: SuiteConfig, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        suite.check()
