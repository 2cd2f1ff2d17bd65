"""Tables of another shape: hundreds of groups and products, 2 to 500 events, other languages, labels of three kinds."""

from __future__ import annotations

import csv
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from forewarn.bundle import Bundle
from training.config import compose
from training.train import train

BY_CUSTOMER = """
name: desk
description: Labels by event and by final outcome, on whole customers.
tasks:
  - {name: mood, kind: classification, field: настроение, at: same}
  - {name: left, kind: hazard, onset: {when: {field: left, equals: "yes"}, at: last}, horizons: [ever]}
  - {name: complaint, kind: hazard, onset: {when: {field: type, equals: жалоба}}, horizons: [1h, 3d]}
"""
BY_CASE = """
name: case
description: A label by case, on one history per case.
tasks:
  - {name: verdict, kind: classification, field: verdict, at: last}
"""
TYPES = ["звонок", "письмо", "жалоба", "ответ"]
WORDS = ["账单", "错了", "谢谢", "помогите", "опять", "спасибо"]


def write_table(path: Path) -> None:
    """Seventy customers with 2 to 500 events in cases of about ten, 300 groups and 400 products."""
    rng = random.Random(0)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["клиент", "type", "occurred_at", "case", "group", "product", "text", "настроение", "left",
                       "verdict"])  # fmt: skip
        for customer in range(70):
            length = {0: 2, 1: 500}.get(customer, rng.randint(2, 40))
            clock, left = start + timedelta(hours=customer), rng.choice(["yes", "no"])
            for number in range(length):
                clock += timedelta(minutes=rng.randint(1, 600))
                case = f"{customer}-{number // 10}"
                rows.writerow([f"Ж{customer}", rng.choice(TYPES), clock.isoformat(), case, f"G{rng.randrange(300):03}",
                               f"P-{rng.randrange(400)}", " ".join(rng.choices(WORDS, k=rng.randrange(9))),
                               rng.choice(["+", "-", ""]), left, rng.choice(["won", "lost"])])  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    write_table(folder / "events.csv")
    (folder / "customer.yaml").write_text(BY_CUSTOMER, "utf-8")
    (folder / "case.yaml").write_text(BY_CASE, "utf-8")
    with (folder / "splits.csv").open("w", encoding="utf-8") as file:
        file.write("customer_id,split\n")
        file.writelines(f"Ж{i},{'test' if i % 5 == 4 else 'valid' if i % 5 == 3 else 'train'}\n" for i in range(70))
    return folder


def trained(quick: list[str], folder: Path, by: str, *more: str) -> tuple[dict[str, Any], Bundle]:
    train(
        compose(
            *quick, "data=table", f"data.root={folder}", "data.events=events.csv", "data.splits=splits.csv",
            "data.columns={customer_id: 'клиент', case_id: case}", f"target={folder / by}.yaml", "text=learned",
            "model.word_width=16", "lint=warn", "baselines=[lightgbm]", f"run={folder / 'runs' / by}", *more,
        )
    )  # fmt: skip
    metrics = json.loads((folder / "runs" / by / "metrics.json").read_text())
    return metrics, Bundle.load(folder / "runs" / by / "bundle")


def test_labels_by_event_and_by_outcome_with_many_categories_long_histories_and_two_languages(
    quick: list[str], folder: Path
) -> None:
    metrics, bundle = trained(quick, folder, "customer")
    assert metrics["metrics"]["transformer"].keys() == {"mood", "left", "complaint"}
    assert {name: own["histories"] for name, own in metrics["data"]["splits"].items()} == {
        "train": 42, "valid": 14, "test": 14,
    }  # fmt: skip
    featurizer = bundle.featurizer
    assert len(featurizer.vocabularies["product"]) > 150, "one token per product seen often enough"
    assert featurizer.words is not None and {"账", "помогите"} <= set(featurizer.words.words)
    assert {"настроение", "left"}.isdisjoint(featurizer.vocabularies)


def test_labels_by_case_follow_a_split_by_customer(quick: list[str], folder: Path) -> None:
    metrics, _ = trained(quick, folder, "case", "data.by=case_id")
    assert metrics["metrics"]["transformer"]["verdict"]["accuracy"]["value"] is not None
    assert metrics["data"]["splits"]["train"]["histories"] > 42, "a customer's cases are histories of their own"
