"""Distillation: one network that learns to say what the bundle of a finished run says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from forewarn.bundle import Bundle, Scorer
from forewarn.model import Ensemble, HeadSpec, InputShapes, ModelConfig, Scores, SequenceModel
from forewarn.model.scores import link_competing
from forewarn.sequence import RaggedDataset
from forewarn.targets import TargetSpec
from training.calibration import calibrate
from training.config import DistillationConfig, OptimConfig, TrainConfig, compose
from training.fit import fit, load_network
from training.labelled import LabelledSplits, soft_labels_of
from training.losses import task_loss
from training.measure import SplitRows, score_split
from training.module import SequenceModule
from training.network_outputs import network_outputs
from training.prepare import ENCODED, Prepared, prepare
from training.soft_labels import soft_labels
from training.target import load_target
from training.train import train

Make = Callable[..., TrainConfig]
ONE = TargetSpec.from_yaml(
    "tasks:\n  - {name: x, kind: hazard, onset: {when: {field: type, equals: x}}, horizons: [1d, 2d, 3d]}\nname: one\n"
)
COMPETING = """
name: ending
complete: false
tasks:
  - {name: leaves, kind: hazard, onset: {when: {field: type, equals: leaves}}, horizons: [1d, 3d, 7d], competes_in: end}
  - {name: stays, kind: hazard, onset: {when: {field: type, equals: stays}}, horizons: [1d, 3d, 7d], competes_in: end}
"""


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory, quick: list[str], three: Path) -> Make:
    """`make("teacher", …)` is the configuration of a run of that name."""
    folder = tmp_path_factory.mktemp("distillation")

    def config(run: str, *more: str) -> TrainConfig:
        made: TrainConfig = compose(
            *quick, "protocol=customer", "data.options.customers=150", "data.options.hazard_scale=1e-3",
            "sequence.max_length=32", "trainer.epochs=8", "optim.token_budget=512", "optim.learning_rate=2e-3",
            "optim.ema=0.9", f"target={three}", f"run={folder / run}", *more,
        )  # fmt: skip
        return made

    return config


@pytest.fixture(scope="module")
def teacher(make: Make) -> Path:
    """A run whose bundle is an ensemble of deeper networks."""
    made = make("teacher", "model.layers=2", "ensemble=3")
    train(made)
    return Path(made.run)


@pytest.fixture(scope="module")
def student(make: Make, teacher: Path) -> TrainConfig:
    made = make("student", f"distillation.teacher={teacher}", "refit=true")
    train(made)
    return made


def of_run(run: Path) -> Prepared:
    return Prepared.load(run / "data" / ENCODED)


def test_the_loss_of_a_hazard_is_the_cross_entropy_of_two_whole_distributions_of_the_onset() -> None:
    said = np.array([[0.1, 0.4, 0.5]], np.float32)
    soft = {name: torch.from_numpy(part)[None] for name, part in soft_labels(ONE, {"x": said}).items()}
    raw = torch.tensor([[[0.3, -0.7, 1.1]]])
    hazard = raw[0, 0].sigmoid()
    quiet = torch.cumprod(1 - hazard, 0)
    student = torch.stack([hazard[0], hazard[1] * quiet[0], hazard[2] * quiet[1], quiet[2]])
    teacher = torch.tensor([0.1, 0.3, 0.1, 0.5])
    expected = -(teacher * student.log()).sum()
    torch.testing.assert_close(task_loss("hazard", raw, soft_labels_of("x", soft), "prefix"), expected)


def test_a_bin_that_the_teacher_is_sure_is_never_reached_says_nothing() -> None:
    soft = soft_labels(ONE, {"x": np.array([[0, 1, 1]], np.float32)})
    assert soft["x.soft_onset"].tolist() == [[0, 1, 0]] and soft["x.soft_at_risk"].tolist() == [[1, 1, 0]]


def test_soft_labels_of_competing_hazards_give_back_the_teachers_incidences() -> None:
    raw = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0)) - 1
    said = dict(zip(("leaves", "stays"), (risk.numpy() for risk in link_competing(list(raw))), strict=True))
    soft = soft_labels(TargetSpec.from_yaml(COMPETING), said)
    hazards = [torch.from_numpy(soft[f"{task}.soft_onset"]).logit() for task in said]
    for found, risk in zip(link_competing(hazards), said.values(), strict=True):
        np.testing.assert_allclose(found.numpy(), risk, atol=1e-5)
    assert (soft["leaves.soft_at_risk"] == soft["stays.soft_at_risk"]).all()


def test_probabilities_of_one_class_alone_cost_what_its_label_costs() -> None:
    raw, label = torch.randn(2, 3, 4), torch.tensor([[0, 3, -1], [2, -1, 1]])
    sure = torch.nn.functional.one_hot(label.clamp(min=0), 4).float()
    sure[label < 0] = float("nan")
    for weighting in ("prefix", "history"):
        expected = task_loss("classification", raw, {"label": label}, weighting)
        torch.testing.assert_close(task_loss("classification", raw, {"label": sure}, weighting), expected)


def test_a_number_is_drawn_to_one_point_between_label_and_teacher_and_to_the_teacher_where_no_label_is() -> None:
    head = HeadSpec("wait", "regression", 1, center=1.0, spread=2.0)
    module = SequenceModule(ModelConfig(width=16, layers=1), InputShapes((3,), 1), [head], OptimConfig(), 0, share=0.25)
    labels, soft = (torch.tensor([values]) for values in ([1.0, float("nan"), float("nan")], [5.0, 7.0, float("nan")]))
    for aim, loss in (([2.0, 7.0, 0.0], 0.0), ([3.0, 7.0, 0.0], 0.25), ([1.0, 7.0, 9.0], 0.25)):
        raw = (torch.tensor([aim]).unsqueeze(-1) - 1) / 2
        found = module.taught_loss(head, raw, {"value": labels}, {"value": soft}, None)
        torch.testing.assert_close(found, torch.tensor(loss))


def test_every_row_has_what_the_teachers_bundle_says_of_it_and_the_context_of_a_window_has_nothing(
    student: TrainConfig, teacher: Path
) -> None:
    scorer = Scorer(Bundle.load(teacher / "bundle"))
    splits = LabelledSplits.open(student.data, load_target(student), student.protocol, teacher / "data" / "histories")
    whole = {history.history_id: history for history in splits.visible("train")}
    rows = RaggedDataset(of_run(Path(student.run)).split("train"))
    unlabelled = windows = 0
    for i in range(len(rows)):
        history_id, arrays = rows[i]
        start, length = int(arrays["start"][0]), len(arrays["position"])
        own = np.isfinite(arrays["sample.age"])
        windows += start > 0
        unlabelled += int((own & (arrays["next.label"] < 0)).sum())
        for name in ("next.soft_label", "wait.soft_value"):
            assert (np.isnan(arrays[name].reshape(length, -1)).all(axis=1) == ~own).all()
        assert (arrays["escalation.soft_at_risk"][:, 0] == own).all()
        if start == 0 and length == len(whole[history_id].events):  # elsewhere a bundle looks at another window
            (said,) = scorer.score([whole[history_id]])
            np.testing.assert_allclose(arrays["next.soft_label"], said["next"], atol=1e-5)
            np.testing.assert_allclose(arrays["wait.soft_value"], np.log1p(said["wait"]), atol=1e-4)
            onset = arrays["escalation.soft_onset"]
            risk = 1 - np.cumprod(1 - onset.astype(np.float64), axis=1)
            np.testing.assert_allclose(risk, said["escalation"], atol=1e-5)
    assert windows and unlabelled, "the data must hold what the test is about"


def test_a_student_comes_closer_to_its_teacher_than_the_same_network_untaught(
    student: TrainConfig, teacher: Path, tmp_path: Path
) -> None:
    prepared, bundle = of_run(Path(student.run)), Bundle.load(teacher / "bundle")
    untaught = fit(replace(student, distillation=DistillationConfig()), prepared, tmp_path).model
    valid = SplitRows.load(prepared.split("valid"), prepared.target).histories
    goal = score_split(Scorer(bundle), valid, bundle.target)

    def distance(network: SequenceModel | Ensemble) -> dict[str, float]:
        scores = Scores(network, calibrate(network, prepared, student.weights)).eval()
        said = dict(zip(goal, network_outputs(scores, valid), strict=True))
        return {task: float(np.abs(own.reshape(goal[task].shape) - goal[task]).mean()) for task, own in said.items()}

    taught, alone = distance(load_network(Path(student.run))), distance(untaught)
    for task in goal:
        assert taught[task] < alone[task], task


def test_a_student_is_one_network_that_reads_what_its_teacher_read_and_names_it(
    student: TrainConfig, teacher: Path
) -> None:
    bundle, taught_by = Bundle.load(Path(student.run) / "bundle"), Bundle.load(teacher / "bundle")
    assert bundle.featurizer.to_dict() == taught_by.featurizer.to_dict()
    assert bundle.manifest.data["teacher"] == taught_by.model_hash
    assert f"say what model `{taught_by.model_hash[:12]}` says" in (bundle.path / "MODEL_CARD.md").read_text()
    assert {task.scorer for task in bundle.manifest.tasks} == {"transformer"}
    assert bundle.graph("fp32").stat().st_size < taught_by.graph("fp32").stat().st_size / 2


def test_a_resumed_run_does_not_ask_the_teacher_again(student: TrainConfig) -> None:
    run = Path(student.run)
    before = of_run(run).split("train").stat().st_mtime_ns
    measured = (run / "metrics.json").read_bytes()
    (run / "metrics.json").unlink()
    train(replace(student, resume=True))
    assert of_run(run).split("train").stat().st_mtime_ns == before
    again, first = (json.loads(text)["metrics"] for text in ((run / "metrics.json").read_bytes(), measured))
    assert again == first


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("sequence.max_length=64", r"found sequence\.max_length=32 in .*, expected this run's 64"),
        ("protocol.valid_fraction=0.3", r"found protocol\.valid_fraction=.* expected this run's 0\.3"),
        ("data.inputs.exclude=[channel]", r"found data\.inputs\.exclude=\[\] in .*, expected this run's \['channel'\]"),
        ("data.options.customers=151", r"found fingerprint .*give the teacher's target, data and split"),
        ("target=next_event", r"found target three in .*, expected this run's next_event"),
    ],
)
def test_a_teacher_of_other_inputs_rows_or_questions_is_refused_by_name(
    make: Make, teacher: Path, tmp_path: Path, override: str, complaint: str
) -> None:
    other = make("other", f"distillation.teacher={teacher}", override)
    with pytest.raises(ValueError, match=rf"distillation\.teacher: {complaint}"):
        prepare(other, load_target(other), tmp_path / "data")


def test_a_teacher_that_is_not_finished_is_refused_before_any_data_is_read(make: Make, tmp_path: Path) -> None:
    other = make("other", f"distillation.teacher={tmp_path}")
    with pytest.raises(ValueError, match=r"distillation\.teacher: found no bundle in .* resume=true"):
        prepare(other, load_target(other), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_teacher_that_learned_from_the_validation_rows_is_refused(make: Make, teacher: Path, tmp_path: Path) -> None:
    shutil.copytree(teacher / "bundle", tmp_path / "refitted" / "bundle")
    saved = (teacher / "config.yaml").read_text()
    (tmp_path / "refitted" / "config.yaml").write_text(saved.replace("refit: false", "refit: true"))
    other = make("other", f"distillation.teacher={tmp_path / 'refitted'}")
    with pytest.raises(ValueError, match=r"distillation\.teacher: found refit=true .* with refit=false"):
        prepare(other, load_target(other), tmp_path / "data")


def test_trees_behind_a_student_are_refused(make: Make, teacher: Path) -> None:
    with pytest.raises(ValueError, match=r"distillation\.teacher: found .* with hybrid\.enabled=true"):
        make("other", f"distillation.teacher={teacher}", "hybrid.enabled=true")
