"""The GPU serving image, read rather than built: the base, the user, the health check and the start command."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from serving.config import load


@pytest.fixture
def steps(repository: Path) -> list[tuple[str, str]]:
    """(instruction, arguments) of each step, continuation lines joined."""
    text = (repository / "Dockerfile.gpu").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def only(steps: list[tuple[str, str]], instruction: str) -> str:
    found = [arguments for name, arguments in steps if name == instruction]
    assert len(found) == 1, f"{instruction}: {found}"
    return found[0]


def test_stands_on_a_cuda_13_runtime_with_cudnn(steps: list[tuple[str, str]]) -> None:
    assert re.fullmatch(r"nvidia/cuda:13\.[\d.]+-cudnn-runtime-ubuntu24\.04", only(steps, "FROM"))


def test_runs_as_a_user_that_it_created_and_that_is_not_root(steps: list[tuple[str, str]]) -> None:
    user = only(steps, "USER")
    assert user not in ("root", "0")
    assert any(name == "RUN" and re.search(rf"useradd .*\b{user}\b", arguments) for name, arguments in steps)
    names = [name for name, _ in steps]
    assert names.index("USER") > max(place for place, name in enumerate(names) if name == "RUN")


def test_installs_the_gpu_runtime_without_torch(steps: list[tuple[str, str]]) -> None:
    assert any(name == "RUN" and '".[serve-gpu]"' in arguments for name, arguments in steps)


def test_copies_only_what_exists_and_the_build_context_keeps(steps: list[tuple[str, str]], repository: Path) -> None:
    kept = {line[1:] for line in (repository / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name, arguments in steps:
        if name == "COPY":
            *sources, _ = arguments.split()
            assert set(sources) <= kept
            assert all((repository / source).exists() for source in sources)


def test_is_healthy_when_the_service_is_ready(steps: list[tuple[str, str]]) -> None:
    check = only(steps, "HEALTHCHECK")
    python, flag, code = json.loads(check[check.index("[") :])
    assert (python, flag) == ("python", "-c")
    compile(code, "HEALTHCHECK", "exec")
    assert f"127.0.0.1:{only(steps, 'EXPOSE')}/readyz" in code


def test_starts_the_service_with_overrides_that_its_configuration_has(
    steps: list[tuple[str, str]], repository: Path
) -> None:
    python, flag, module, *overrides = json.loads(only(steps, "CMD"))
    assert (python, flag, module) == ("python", "-m", "serving.run")
    importlib.import_module(module)
    with initialize_config_dir(str(repository / "conf"), version_base=None):
        config = load(OmegaConf.to_container(compose("serve", overrides)))
    assert (config.provider, config.precision, config.num_gpus) == ("cuda", "fp16", 1)
    assert config.host == "0.0.0.0"
    assert config.bundle == only(steps, "VOLUME")
    assert config.port == int(only(steps, "EXPOSE"))
