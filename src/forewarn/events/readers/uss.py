"""User satisfaction in task dialogues (USS): dialogues whose every user turn was rated by three or more people.

A dialogue is a history without a clock: turns lie one second apart. A user turn carries ``rating_mean`` (1 to 5) and
``rating_class`` (low below 3, mid at 3, high above), both evidence of the label, and ``user_turn``, its number from 1.
The closing pseudo-turn OVERALL is a survey answer; it stays, since the published results count it among the rated
turns. The published test lines are the user turns from the fourth on.

A dialogue is named by its file and place there (mwoz-0000). Options: dataset ("mwoz" or "sgd", the set whose official
split counts: the dialogues of further files all teach), split_file.
Source: Sun et al., Simulating User Satisfaction for the Evaluation of Task-oriented Dialogue Systems, SIGIR 2021.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from forewarn.events.config import DataConfig, missing_file
from forewarn.events.event import Event, EventError
from forewarn.events.quarantine import Quarantine
from forewarn.events.readers.files import open_text
from forewarn.events.readers.table import FIRST_TICK
from forewarn.events.record import event_from_record

OPTIONS = ("dataset", "split_file")

_ACTORS = {"USER": "customer", "SYSTEM": "bot"}
_OVERALL = "OVERALL"


def read(paths: Sequence[Path], cfg: DataConfig, quarantine: Quarantine) -> Iterator[Event]:
    """Yield one event per turn, dialogue by dialogue in file order."""
    for path in paths:
        with open_text(path) as file:
            lines = enumerate((line.rstrip("\r\n") for line in file), 1)
            blocks = (list(block) for spoken, block in groupby(lines, lambda line: bool(line[1])) if spoken)
            for number, block in enumerate(blocks):
                user_turn = 0
                for turn, (line, text) in enumerate(block):
                    where = f"{path}:{line}"
                    try:
                        record = _record(text, f"{_set_of(path)}-{number:04d}", turn, where)
                        if record["actor"] == "customer":
                            user_turn += 1
                            record["user_turn"] = user_turn
                        yield event_from_record(record, source=cfg.source, where=where, by=cfg.by)
                    except EventError as error:
                        quarantine.reject(error, text)


def official_splits(paths: Sequence[Path], cfg: DataConfig) -> dict[str, str]:
    """The published train, valid or test of each dialogue of one set, from the file of dialogue indices; else train.

    Raises ValueError when that file is missing or does not know the data set, or no file holds its dialogues.
    """
    path = cfg.path(cfg.option("split_file", "uss/split_dialogue_indices.json"))
    if not path.is_file():
        raise ValueError(missing_file(path, cfg.homepage))
    indices = json.loads(path.read_text())
    dataset = cfg.option("dataset", "mwoz")
    if dataset not in indices:
        raise ValueError(f"data.options.dataset: found {dataset!r}, expected one of {', '.join(indices)} as in {path}")
    if dataset not in (sets := [_set_of(path) for path in paths]):
        raise ValueError(
            f"data.events: found files of {', '.join(sets)}, expected one of {dataset}, whose official split is asked "
            "for; correct data.events or data.options.dataset"
        )
    held_out = {f"{dataset}-{index:04d}": split for split in ("valid", "test") for index in indices[dataset][split]}
    dialogues = {event.customer_id: None for event in read(paths, cfg, Quarantine())}
    return {name: held_out.get(name, "train") for name in dialogues}


def _set_of(path: Path) -> str:
    return path.name.partition(".")[0].lower()


def _record(line: str, dialogue: str, turn: int, where: str) -> dict[str, Any]:
    cells = line.split("\t")
    if len(cells) != 4 or cells[0] not in _ACTORS:
        expected = "USER or SYSTEM, text, act and ratings between tabs"
        raise EventError("turn", line, expected, "give the original USS file", where)
    role, text, act, ratings = cells
    overall = role == "USER" and text == _OVERALL
    return {
        "event_id": f"{dialogue}-{turn:02d}",
        "customer_id": dialogue,
        "conversation_id": dialogue,
        "type": "survey.answered" if overall else "conversation.message",
        "channel": "survey" if overall else "chat",
        "actor": _ACTORS[role],
        "occurred_at": FIRST_TICK + timedelta(seconds=turn),
        "text": text,
        "act": act,
        **_rating(ratings, where),
    }


def _rating(ratings: str, where: str) -> dict[str, Any]:
    if not ratings:
        return {}
    try:
        given = [int(rating) for rating in ratings.split(",")]
    except ValueError:
        expected = "whole numbers from 1 to 5 between commas"
        raise EventError("rating", ratings, expected, "give the original USS file", where) from None
    mean = sum(given) / len(given)
    return {"rating_mean": mean, "rating_class": "low" if mean < 3 else "high" if mean > 3 else "mid"}
