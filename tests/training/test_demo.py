"""The demo, whole: trains, serves, streams one customer; its old run makes way, nobody else's does."""

from __future__ import annotations

from pathlib import Path

import pytest

from forewarn.bundle import Bundle
from training.config import compose
from training.demo import clear, demo


def test_the_demo_ends_with_a_customer_s_risk_from_a_real_service(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEMO_ONCE", "1")
    config = compose(*small, f"run={tmp_path / 'run'}", root="demo")
    result = demo(config)
    assert Bundle.load(result["bundle"]).model_hash
    assert result["risk"] and all(0 <= risk <= 1 for risk in result["risk"])
    shown = capsys.readouterr().out
    assert f"streaming {result['customer']}" in shown and "escalation within 14d" in shown
    clear(tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {".demo", "data"}


def test_the_demo_clears_no_run_but_its_own(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").touch()
    with pytest.raises(ValueError, match=r"^run: found best\.ckpt of an earlier run"):
        clear(tmp_path)
    assert (tmp_path / "checkpoints" / "best.ckpt").exists()


def test_data_without_a_risk_to_show_is_refused_before_training(tmp_path: Path) -> None:
    config = compose("data=helpdesk", f"run={tmp_path / 'run'}", root="demo")
    with pytest.raises(ValueError, match=r"^target: found 'next_activity' without a hazard task"):
        demo(config)
    assert not (tmp_path / "run").exists()
