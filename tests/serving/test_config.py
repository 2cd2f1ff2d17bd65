"""Settings: the same names on every command line, and a mistake is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from serving.config import ServeConfig, load


def test_settings_come_typed_or_as_the_strings_of_a_command_line() -> None:
    config = load({"bundle": "b", "port": "0", "num_gpus": "0.5", "access_log": "true", "max_replicas": None})
    assert (config.port, config.num_gpus, config.access_log, config.max_replicas) == (0, 0.5, True, None)
    assert load({"bundle": "b", "port": None}).port is load({"bundle": "b", "port": "null"}).port is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "bundle: found nothing"),
        ({"bundle": "b", "prot": 1}, "prot"),
        ({"bundle": "b", "port": "eight"}, "port"),
        ({"bundle": "b", "port": 70_000}, "port: found 70000"),
        ({"bundle": "b", "replicas": 0}, "replicas: found 0, expected at least 1"),
        ({"bundle": "b", "replicas": 4, "max_replicas": 2}, "max_replicas: found 2, expected at least replicas=4"),
        ({"bundle": "b", "deadline_s": 0}, "deadline_s: found 0.0, expected more than 0"),
        ({"bundle": "b", "provider": "tpu"}, "provider: found 'tpu', expected one of"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match="^" + said.replace("(", r"\(")):
        load(settings)


def test_every_setting_is_documented_beside_its_default(repository: Path) -> None:
    source = (repository / "serving" / "config.py").read_text()
    for name in ServeConfig.__dataclass_fields__:
        (line,) = [line for line in source.splitlines() if line.strip().startswith(f"{name}: ")]
        assert "  # " in line


def test_the_hydra_root_adds_nothing_of_its_own(repository: Path) -> None:
    root = yaml.safe_load((repository / "conf" / "serve.yaml").read_text())
    assert root.keys() == {"defaults", "hydra"}
