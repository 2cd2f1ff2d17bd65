"""Histories of whole customers, questions about each case of theirs: rows, context, training and answers."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forewarn.bundle import Bundle, Scorer
from forewarn.targets import HazardLabels, TargetSpec, label_history
from serving.answers import answer_history
from training.config import EvaluateConfig, TrainConfig, compose
from training.evaluate import evaluate
from training.labelled import LabelledSplits
from training.train import load_target

TARGET = """
name: refusals
description: Is this order refused in the end? A customer's orders are one history.
per: case_id
exclude_events: {field: type, equals: closed}
tasks:
  - {name: refused, kind: hazard, onset: {when: {field: outcome, equals: refused}, at: last}, horizons: [ever]}
  - {name: left, kind: regression, field: remaining_time, unit: d, transform: log1p}
"""
DAY_S = 86_400


def write_orders(path: Path) -> None:
    """Forty customers with three to six orders each; whoever complains has that order refused, and the next one too."""
    rng = random.Random(0)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["customer_id", "case_id", "type", "occurred_at", "outcome"])
        for customer in range(40):
            clock, grudge = 1_700_000_000 + rng.randint(0, 40) * DAY_S, False
            for number in range(rng.randint(3, 6)):
                complains = rng.random() < 0.4
                steps = ["opened", *["message"] * rng.randint(0, 3), *["complaint"] * complains, "closed"]
                for step in steps:
                    outcome = "refused" if step == "closed" and (complains or grudge) else "accepted"
                    rows.writerow([f"c{customer}", f"c{customer}-{number}", step, clock, outcome])
                    clock += rng.randint(600, DAY_S)
                grudge = complains
                clock += rng.randint(1, 10) * DAY_S
            rows.writerow([f"c{customer}", "", "newsletter", clock, ""])


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, quick: list[str]) -> TrainConfig:
    folder = tmp_path_factory.mktemp("orders")
    write_orders(folder / "orders.csv")
    (folder / "refusals.yaml").write_text(TARGET)
    return compose(
        *quick, "data=table", f"data.events={folder / 'orders.csv'}", "data.time_format=epoch_s",
        f"target={folder / 'refusals.yaml'}", "protocol=temporal", "protocol.straddlers=drop", "protocol.valid=random",
        "protocol.max_prefix=2", "trainer.epochs=2", "sequence.min_count=1", "bootstrap=20", "lint=warn",
        "baselines=[prior,rule,logistic,lightgbm]", f"run={folder / 'run'}",
    )  # fmt: skip


@pytest.fixture(scope="module")
def splits(config: TrainConfig) -> LabelledSplits:
    return LabelledSplits.open(config.data, load_target(config), config.protocol, Path(config.run) / "by-hand")


def rows_of(splits: LabelledSplits, split: str) -> dict[tuple[str, int], int]:
    """The labelled rows of a split: (case, events of it so far) -> onset."""
    task = splits.target.tasks[0].name
    return {
        (str(history.events[row].case_id), int(arrays["prefix"][row])): int(arrays[f"{task}.onset"][row, 0])
        for history, arrays in splits.labelled(split)
        for row in np.flatnonzero(arrays[f"{task}.at_risk"][:, 0]).tolist()
    }


def rows_of_cases_alone(splits: LabelledSplits, split: str, longest: int) -> dict[tuple[str, int], int]:
    """The same from each case as a history of its own under the target without `per`."""
    alone = TargetSpec.parse({key: value for key, value in splits.target.source.items() if key != "per"})
    task, found = alone.tasks[0].name, {}
    for case in splits.units(split):
        labels = label_history(alone, case, observed_until=splits.assignment.split_until(split))[task]
        assert isinstance(labels, HazardLabels)
        for row, onset in enumerate(labels.onset[:longest, 0].tolist()):
            found[str(case.events[0].case_id), row + 1] = onset
    return found


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_the_labelled_rows_are_the_first_events_of_the_cases_of_the_split(splits: LabelledSplits, split: str) -> None:
    rows = rows_of(splits, split)
    assert rows == rows_of_cases_alone(splits, split, longest=2)
    assert max(k for _, k in rows) == 2


def test_the_cases_of_a_customer_fall_into_several_splits_and_no_case_into_two(splits: LabelledSplits) -> None:
    cases = {split: {case for case, _ in rows_of(splits, split)} for split in ("train", "valid", "test")}
    assert sum(map(len, cases.values())) == len(set.union(*cases.values()))
    customers = {split: {case.partition("-")[0] for case in own} for split, own in cases.items()}
    assert customers["train"] & customers["test"]


def test_earlier_cases_are_context_and_training_sees_nothing_after_the_cut(splits: LabelledSplits) -> None:
    until = splits.assignment.learn_until
    assert until is not None
    assert all(event.ingested_at <= until for history in splits.visible("train") for event in history.events)
    context = {event.case_id for history in splits.visible("test") for event in history.events}
    learnt = {case for case, _ in rows_of(splits, "train")}
    assert context & learnt, "what was learnt from is known when a later case of the customer is judged"
    dropped = {unit.partition("/")[2] for unit, kind in splits.assignment.split.items() if kind == "dropped"}
    assert context & dropped, "a dropped case stays visible, without a label"
    hidden = {event.type for history in splits.visible("test") for event in history.events}
    assert "closed" not in hidden


def test_a_history_ends_with_its_last_labelled_row(splits: LabelledSplits) -> None:
    for split in ("train", "valid", "test"):
        for history, arrays in splits.labelled(split):
            assert arrays["refused.at_risk"][-1].any() and np.isfinite(arrays["left.value"][-1])
            assert {len(array) for array in arrays.values()} == {len(history.events)}


def test_results_count_events_within_the_case_and_resample_customers(run: Path, splits: LabelledSplits) -> None:
    result = json.loads((run / "metrics.json").read_text())
    rows = rows_of(splits, "test")
    for model in ("transformer", "prior", "rule", "logistic", "lightgbm"):
        measured = result["metrics"][model]["refused"]["horizons"]["ever"]
        assert measured["rows"] == len(rows)
        assert measured["clusters"] == len({case.partition("-")[0] for case, _ in rows})
        assert [entry["k"] for entry in measured["by_prefix"]] == [1, 2]
        by_length = [sum(k == length for _, k in rows) for length in (1, 2)]
        assert [entry["variable"]["rows"] for entry in measured["by_prefix"]] == by_length
        # Cases with both prefixes, not customers with both.
        assert [entry["fixed"]["rows"] for entry in measured["by_prefix"]] == [by_length[1]] * 2


def test_the_model_reads_relations_between_cases_and_no_evidence(run: Path) -> None:
    featurizer = Bundle.load(run / "bundle").featurizer
    assert {"case.same", "case.events", "case.other_gap_s"} <= featurizer.quantiles.keys()
    assert "outcome" not in featurizer.vocabularies


def test_an_earlier_case_moves_the_score_of_this_one(run: Path, splits: LabelledSplits) -> None:
    scorer = Scorer(Bundle.load(run / "bundle"), threads=1)
    whole = next(
        history for history in splits.visible("test") if history.events[-1].case_id != history.events[0].case_id
    )
    last = [event for event in whole.events if event.case_id == whole.events[-1].case_id]
    alone = type(whole)(whole.history_id, whole.customer_id, last)
    with_past, without = (scores["refused"][-1, 0] for scores in scorer.score([whole, alone]))
    assert with_past != without


def test_an_evaluation_reports_cases(run: Path, config: TrainConfig, splits: LabelledSplits) -> None:
    chosen = compose(
        "data=table", f"data.events={config.data.events}", "data.time_format=epoch_s", "protocol=temporal",
        "protocol.straddlers=drop", "protocol.valid=random", "protocol.max_prefix=2", f"bundle={run / 'bundle'}",
        "bootstrap=10", "report=true", root="evaluate", kind=EvaluateConfig,
    )  # fmt: skip
    assert evaluate(chosen)["difference"] == 0.0
    numbers = json.loads((run / "evaluation-test" / "report.json").read_text())
    rows = rows_of(splits, "test")
    cases = {case for case, _ in rows}
    assert (numbers["per"], numbers["points"], numbers["incidents"]) == ("case_id", len(rows), len(cases))
    refused, left = numbers["outcomes"]
    assert refused["whole"]["rows"] == len(rows) and left["whole"]["incidents"] == len(cases)
    late = {case for (case, _), onset in rows.items() if onset}
    assert all(entry["lead"]["onsets"] == len(late) for entry in refused["alerts"])
    ablated = {entry["name"]: entry for entry in refused["ablations"]}
    assert {"all events shuffled", "time hidden", "other cases hidden", "case relations"} <= ablated.keys()
    assert ablated["other cases hidden"]["rows"] == len(rows)
    page = (run / "evaluation-test" / "report.html").read_text()
    assert f"{len(rows)} observation points of {len(cases)} cases" in page
    assert "recall of cases" in page and "recall of histories" not in page and "A case counts as" in page


def test_a_service_answers_for_a_target_that_judges_cases(run: Path, splits: LabelledSplits) -> None:
    scorer = Scorer(Bundle.load(run / "bundle"), threads=1)
    whole = next(history for history in splits.store if len({event.case_id for event in history.events}) > 2)
    visible = scorer.bundle.target.visible(whole)
    (encoded,) = scorer.encode([visible])
    (scores,) = scorer.run([encoded])
    answer: Any = answer_history(scorer, whole, visible, encoded, scores, trajectory=True, explain=3)
    assert answer.state.events == len(whole.events)
    assert [point.event_id for point in answer.trajectory] == [event.event_id for event in visible.events]
    assert 0 <= answer.risk["refused"]["ever"] <= 1
    assert answer.values["left"]["d"] > -1


@pytest.mark.realdata
def test_the_rows_of_callers_are_the_published_prefixes_of_incidents(data_root: Path, tmp_path: Path) -> None:
    config = compose(
        "data=uci_servicenow", "data.by=customer_id", "target=sla_miss_per_case", "protocol=kairos",
        f"data.root={data_root}", "run=unused",
    )  # fmt: skip
    splits = LabelledSplits.open(config.data, load_target(config), config.protocol, tmp_path)
    counts = splits.assignment.counts
    assert (counts["test"], counts["dropped_straddling"], counts["train"] + counts["valid"]) == (5_776, 2_907, 14_419)
    test = rows_of(splits, "test")
    assert test == rows_of_cases_alone(splits, "test", longest=8)
    assert (len(test), round(float(np.mean(list(test.values()))), 3)) == (17_477, 0.400)
    learnt = rows_of(splits, "train") | rows_of(splits, "valid")
    assert (len(learnt), round(float(np.mean(list(learnt.values()))), 3)) == (52_213, 0.568)
