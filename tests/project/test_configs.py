"""Every file under conf/ can be used: each root composes with each option of each group, each target is a spec."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from forewarn.targets import TargetSpec

CONF = Path(__file__).resolve().parents[2] / "conf"
# The module whose import registers a root's schema.
MODULES = {
    "train": "training.train",
    "evaluate": "training.evaluate",
    "export": "training.export",
    "rolling": "training.rolling",
    "learning_curve": "training.learning_curve",
    "finetune_text": "training.finetune_text",
    "lint": "training.lint",
    "simulate": "training.simulate",
    "demo": "training.demo",
    "serve": "serving.run",
    "bench": "benchmarks.run",
    "bench_training": "benchmarks.training_peer",
}
ROOTS = sorted(path.stem for path in CONF.glob("*.yaml"))
GROUPS = {
    folder.name: sorted(path.stem for path in folder.glob("*.yaml")) for folder in CONF.iterdir() if folder.is_dir()
}
TARGETS = GROUPS.pop("targets", [])
BENCH_SUITES = {"raw", "smoke"}  # suites of the benchmarks; the others are those of training.evaluate


def options_of(root: str, group: str) -> list[str]:
    """The options of a group that a root can use."""
    if group != "suite":
        return GROUPS[group]
    return [option for option in GROUPS[group] if (option in BENCH_SUITES) == (root == "bench")]


def groups_of(root: str) -> list[str]:
    """The groups that a root config names in its defaults list."""
    defaults = yaml.safe_load((CONF / f"{root}.yaml").read_text()).get("defaults", [])
    names = [next(iter(entry)) for entry in defaults if isinstance(entry, dict)]
    return [name.removeprefix("optional ").removeprefix("override ") for name in names]


CHOICES = [
    (root, group, option)
    for root in ROOTS
    for group in groups_of(root)
    if group in GROUPS
    for option in options_of(root, group)
]


def composed(root: str, *overrides: str) -> DictConfig:
    importlib.import_module(MODULES[root])
    with initialize_config_dir(str(CONF), version_base=None):
        return compose(root, list(overrides))


def test_every_root_belongs_to_a_program() -> None:
    assert set(ROOTS) == set(MODULES)


def test_every_group_is_used_by_a_root() -> None:
    used = {group.partition("@")[0] for root in ROOTS for group in groups_of(root)}
    assert {group for group, options in GROUPS.items() if options} <= used | {"experiment"}


@pytest.mark.parametrize("root", ROOTS)
def test_a_root_composes_with_its_defaults(root: str) -> None:
    assert OmegaConf.is_config(composed(root))


@pytest.mark.parametrize(("root", "group", "option"), CHOICES)
def test_every_option_of_a_group_composes(root: str, group: str, option: str) -> None:
    assert OmegaConf.is_config(composed(root, f"{group}={option}"))


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_is_a_valid_spec_of_its_own_name(name: str) -> None:
    spec = TargetSpec.load(name, CONF / "targets")
    assert spec.name == name
    assert spec.description
    assert TargetSpec.from_yaml(spec.to_yaml()).hash == spec.hash


@pytest.mark.parametrize("root", ["train", "bench", "evaluate", "rolling", "learning_curve"])
def test_help_lists_the_groups_of_the_program_with_all_their_options_and_no_others(root: str) -> None:
    importlib.import_module(MODULES[root])
    with initialize_config_dir(str(CONF), version_base=None):
        shown = compose(root, return_hydra_config=True).hydra.help.template.split("== Groups ==")[1].split("==")[0]
    listed = {group: set(names.split(", ")) for group, names in re.findall(r"^ *(\w+): (.+)$", shown, re.MULTILINE)}
    assert listed == {group: set(options_of(root, group)) for group in groups_of(root) if group in GROUPS}


@pytest.mark.parametrize("root", ROOTS)
def test_a_program_leaves_no_log_file_where_it_is_started(root: str) -> None:
    importlib.import_module(MODULES[root])
    with initialize_config_dir(str(CONF), version_base=None):
        hydra = compose(root, return_hydra_config=True).hydra
    assert hydra.output_subdir is None
    assert "file" not in hydra.job_logging.root.handlers


@pytest.mark.parametrize("root", ["train", "export", "evaluate", "rolling", "learning_curve", "serve"])
def test_help_shows_commands_to_copy(root: str) -> None:
    importlib.import_module(MODULES[root])
    with initialize_config_dir(str(CONF), version_base=None):
        shown = compose(root, return_hydra_config=True).hydra.help
    assert "== Examples ==" in shown.template
    assert shown.template.count(f"{shown.app_name} ") >= 3


def test_the_whole_suite_holds_every_entry_under_the_name_of_its_file_with_a_training_that_composes() -> None:
    from training.evaluate import whole_suite

    entries = whole_suite()
    assert set(entries) == set(GROUPS["suite"]) - BENCH_SUITES - {"all"}
    for name, entry in entries.items():
        own = OmegaConf.to_container(composed("evaluate", f"suite={name}").suite)
        assert list(own) == [name]
        config = composed(entry.command, *entry.train)
        if entry.report:
            asked = composed("evaluate", "bundle=none", *entry.report)
            assert asked.protocol == config.protocol
            assert [asked.data[own] for own in ("source", "events", "by")] == [
                config.data[own] for own in ("source", "events", "by")
            ]
        if entry.encoder:
            encoder = composed("finetune_text", *entry.encoder)
            assert (encoder.target or encoder.data.default_target) == (config.target or config.data.default_target)
        target = TargetSpec.load(config.target or config.data.default_target, CONF / "targets")
        for claim in entry.claims:
            task = target.task(claim.task)
            assert claim.horizon in (task.horizons.names if task.kind == "hazard" else (None,)), claim
    assert len({entry.page for entry in entries.values()}) == len(entries)
