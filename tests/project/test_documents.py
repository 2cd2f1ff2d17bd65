"""What the documents show can be done: commands, targets and data files in code blocks are checked against the code."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from forewarn.events.config import DataConfig
from forewarn.targets import TargetSpec
from serving.config import ServeConfig
from serving.wire import decode

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
ROOTS = {
    "training.train": "train",
    "training.evaluate": "evaluate",
    "training.measure_silences": "evaluate",
    "training.export": "export",
    "training.rolling": "rolling",
    "training.learning_curve": "learning_curve",
    "training.finetune_text": "finetune_text",
    "training.lint": "lint",
    "training.simulate": "simulate",
    "training.demo": "demo",
    "serving.run": "serve",
    "benchmarks.run": "bench",
    "benchmarks.training_peer": "bench_training",
}


def blocks(language: str, documents: list[Path] = DOCUMENTS) -> list[str]:
    """The code blocks of that language, all documents together."""
    pattern = rf"^```{language}\n(.*?)^```"
    return [found for path in documents for found in re.findall(pattern, path.read_text(), re.MULTILINE | re.DOTALL)]


def commands(program: str) -> list[str]:
    """The distinct shell commands that start with that program, without comments."""
    lines = (line for block in blocks("sh") for line in block.replace("\\\n", " ").splitlines())
    return sorted({shlex.join(shlex.split(line, comments=True)) for line in lines if line.startswith(f"{program} ")})


def test_a_readme_command_was_found_for_every_program() -> None:
    assert commands("make")
    assert {command.split()[2] for command in commands("python")} >= {"training.train", "serving.run", "benchmarks.run"}


@pytest.mark.parametrize("command", commands("make"))
def test_make_commands_name_targets_and_variables(command: str) -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    for word in shlex.split(command)[1:]:
        if "=" in word:
            assert re.search(rf"\b{word.split('=')[0]}\b", makefile), word
        else:
            assert re.search(rf"^{word}:", makefile, re.MULTILINE), word


@pytest.mark.parametrize("command", commands("python"))
def test_python_commands_compose_their_configuration(command: str) -> None:
    _, flag, module, *arguments = shlex.split(command)
    assert flag == "-m"
    importlib.import_module(module)
    if module not in ROOTS:
        return
    overrides = [argument for argument in arguments if not argument.startswith("-")]
    with initialize_config_dir(str(REPOSITORY / "conf"), version_base=None):
        composed = compose(ROOTS[module], overrides)
    target = composed.get("target")
    if target is not None and not target.endswith(".yaml"):
        TargetSpec.load(target, REPOSITORY / "conf" / "targets")


@pytest.mark.parametrize(
    "source", blocks("yaml", [REPOSITORY / "docs" / name for name in ("targets.md", "your_data.md")])
)
def test_documented_targets_are_valid(source: str) -> None:
    spec = TargetSpec.from_yaml(source)
    assert spec.tasks


@pytest.mark.parametrize("source", blocks("yaml", [REPOSITORY / "docs" / "events.md"]))
def test_documented_data_files_are_valid(source: str) -> None:
    merged = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(DataConfig), yaml.safe_load(source)))
    assert isinstance(merged, DataConfig)
    merged.check()


@pytest.mark.parametrize("block", [block for block in blocks("sh") if block.startswith("curl")])
def test_curl_examples_post_what_the_service_accepts(block: str) -> None:
    arguments = shlex.split(block)
    assert f'"{urlsplit("http://" + arguments[2]).path}"' in (REPOSITORY / "serving" / "app.py").read_text()
    question = decode(arguments[arguments.index("-d") + 1].encode(), ServeConfig(bundle="bundle"))
    assert question.histories
