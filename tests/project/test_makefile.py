"""`make` is the front door: help names every target, and every target is one that the README may promise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROMISED = {"setup", "demo", "train", "serve", "bench", "test", "lint", "clean", "help"}


def make(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=repository, capture_output=True, text=True, timeout=60, check=False)


def phony_targets(repository: Path) -> set[str]:
    declared = re.search(r"^\.PHONY: (.+)$", (repository / "Makefile").read_text(), re.MULTILINE)
    assert declared is not None
    return set(re.sub(r"\$\(.*", "", declared.group(1)).split())


def test_the_promised_targets_are_the_targets(repository: Path) -> None:
    assert phony_targets(repository) == PROMISED


def test_plain_make_lists_every_target_with_a_purpose(repository: Path) -> None:
    shown = make(repository).stdout
    listed = dict(re.findall(r"^  make (\w+) +(\S.+)$", shown, re.MULTILINE))
    assert set(listed) == PROMISED


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["demo", "DATA=uci_servicenow"], "-m training.demo data=uci_servicenow"),
        (["train", "ARGS=model=tiny"], "-m training.train model=tiny"),
        (["serve", "BUNDLE=runs/x/bundle"], "-m serving.run bundle=runs/x/bundle"),
        (["bench", "SUITE=smoke"], "-m benchmarks.run suite=smoke"),
        (["test"], "-m pytest"),
        (["lint"], "-m mypy"),
    ],
)
def test_variables_reach_the_command(arguments: list[str], command: str, repository: Path) -> None:
    planned = make(repository, "--dry-run", *arguments)
    assert planned.returncode == 0, planned.stderr
    assert command in planned.stdout


def test_setup_installs_again_only_for_other_extras(repository: Path, tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints/cpu.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((repository / name).read_text())

    def planned(*arguments: str) -> str:
        return make(tmp_path, "--dry-run", "setup", *arguments).stdout

    assert "-e '.[cpu,minilm,mlflow,dev]'" in planned()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".installed").write_text("cpu,dev\n")
    assert "pip install" not in planned() + planned("EXTRAS=cpu,dev")
    assert "-e '.[gpu,dev]'" in planned("EXTRAS=gpu,dev")
    assert "-m venv --clear .venv" in planned("EXTRAS=gpu,dev")


def setup_with(repository: Path, folder: Path, python3: str | None = None) -> subprocess.CompletedProcess[str]:
    """`make setup` in a folder of its own, with no Python to be found but a `python3` of this script."""
    for name in ("Makefile", "pyproject.toml"):
        (folder / name).write_text((repository / name).read_text())
    (folder / "constraints").mkdir()
    (folder / "constraints" / "cpu.txt").touch()
    path = folder / "bin"
    path.mkdir()
    for tool in ("bash", "touch", "sed", "awk"):
        (path / tool).symlink_to(f"/bin/{tool}" if Path(f"/bin/{tool}").exists() else f"/usr/bin/{tool}")
    if python3 is not None:
        (path / "python3").write_text(python3)
        (path / "python3").chmod(0o755)
    return subprocess.run(
        ["/usr/bin/make", "setup"],
        cwd=folder,
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_setup_without_a_usable_python_says_what_to_do(repository: Path, tmp_path: Path) -> None:
    ran = setup_with(repository, tmp_path)
    assert ran.returncode != 0
    assert "found no Python 3.11 or 3.12" in ran.stderr
    assert "make setup PYTHON=" in ran.stderr


@pytest.mark.parametrize(("version", "taken"), [("3, 10, 9", False), ("3, 12, 1", True), ("3, 13, 0", False)])
def test_setup_takes_the_versions_that_packages_are_pinned_for(
    repository: Path, tmp_path: Path, version: str, taken: bool
) -> None:
    """A Python that says it is another one, and that makes no environment."""
    pretend = f"import sys; sys.version_info = ({version}); exec(sys.argv[1])"
    python3 = f'#!/bin/bash\n[ "$1" = -c ] && exec {sys.executable} -c "{pretend}" "$2"\n[ "$1" = -V ]\n'
    ran = setup_with(repository, tmp_path, python3)
    assert ran.returncode != 0
    assert ("into .venv" in ran.stdout, "found no Python" in ran.stderr) == (taken, not taken)
