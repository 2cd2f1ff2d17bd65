"""The kinds of task a target spec may hold, each a frozen dataclass with its own strict reader.

hazard           when does an onset come: discrete-time hazard bins over horizons
classification   which class a field has at this event, at the next one, or at the last
regression       which number a field has, or how long until the next event (gap) or the end (remaining_time)
next_event       sugar for a classification of the next type and a regression of the gap to it
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from forewarn.events import as_text
from forewarn.targets.horizon import EVER, FOREVER, SECOND, Horizons, parse_duration, parse_horizons
from forewarn.targets.predicate import Predicate, as_number, compile_predicate
from forewarn.targets.section import Section, Words, choice, problem

END = "<end>"
TIME_FIELDS = ("gap", "remaining_time")
KINDS = ("hazard", "classification", "regression", "next_event")
_UNITS = {"s": SECOND, "h": 3_600 * SECOND, "d": 86_400 * SECOND}
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class HazardTask:
    """When does an onset come: each event where ``when`` holds, or (``at`` last) the last event of the history.

    With a cooldown, events from an onset until the first later event where ``until`` holds, or until ``rest``
    microseconds have passed, are neither observation points nor new onsets. Nor are events where ``only_when`` does not
    hold observation points. Of the tasks with one ``competes_in`` only the onset that comes first is asked for.
    """

    kind: ClassVar[str] = "hazard"
    name: str
    weight: float
    when: Predicate
    at: str
    horizons: Horizons
    until: Predicate | None
    rest: int | None
    only_when: Predicate | None
    competes_in: str | None


@dataclass(frozen=True)
class ClassificationTask:
    """Which class ``field`` has at the same, next or last event; ``classes`` is None until fitted on training data."""

    kind: ClassVar[str] = "classification"
    name: str
    weight: float
    field: str
    at: str
    classes: tuple[str, ...] | None
    end_class: bool
    bins: tuple[float, ...] | None
    only_when: Predicate | None

    def class_of(self, value: object) -> str | int | None:
        """The class of a raw value: its text, or with ``bins`` the number of the bin; None when it has none."""
        if value is None:
            return None
        if self.bins is None:
            return as_text(value)
        number = as_number(value)
        return None if number is None else int(np.searchsorted(self.bins, number, side="right"))


@dataclass(frozen=True)
class RegressionTask:
    """Which number ``field`` has at the same, next or last event, or a time: ``gap`` or ``remaining_time``."""

    kind: ClassVar[str] = "regression"
    name: str
    weight: float
    field: str
    at: str
    transform: str
    unit: str
    only_when: Predicate | None

    @property
    def unit_size(self) -> int:
        """Microseconds of one unit of a time field."""
        return _UNITS[self.unit]

    def forward(self, values: np.ndarray) -> np.ndarray:
        """From the field's own unit to what the model predicts."""
        return np.log1p(values) if self.transform == "log1p" else values

    def inverse(self, values: np.ndarray) -> np.ndarray:
        """From what the model predicts to the field's own unit."""
        return np.expm1(values) if self.transform == "log1p" else values


Task = HazardTask | ClassificationTask | RegressionTask


def expand_task(source: Any, path: str) -> list[Any]:
    """The task sources that one entry stands for: itself, or the two parts of a next_event."""
    if not isinstance(source, Mapping) or source.get("kind") != "next_event":
        return [source]
    section = Section(source, path)
    section.take("kind", str)
    name = section.take("name", str, "next_event")
    shared = {"weight": section.take("weight", float, 1.0), "at": "next"}
    classes = section.texts("classes")
    unit = choice(section.take("unit", str, "h"), section.at("unit"), tuple(_UNITS))
    end_class = section.take("end_class", bool, True)
    section.close()
    kind: dict[str, Any] = {"name": f"{name}_type", "kind": "classification", "field": "type", "end_class": end_class}
    if classes is not None:
        kind["classes"] = list(classes)
    gap = {"name": f"{name}_gap", "kind": "regression", "field": "gap", "transform": "log1p", "unit": unit}
    return [kind | shared, gap | shared]


def read_task(source: object, path: str) -> Task:
    """Read one entry of ``tasks``; raises ValueError naming the key path of whatever is wrong."""
    section = Section(source, path)
    name = section.take("name", str)
    if not _NAME.fullmatch(name):
        raise problem(section.at("name"), name, "lower-case letters, digits and _, starting with a letter")
    kind = choice(section.take("kind", str), section.at("kind"), KINDS)
    weight = section.take("weight", float, 1.0)
    if weight <= 0:
        raise problem(section.at("weight"), weight, "a number above 0", "leave the task out instead")
    task: Task
    if kind == "hazard":
        task = _read_hazard(section, name, weight)
    elif kind == "classification":
        task = _read_classification(section, name, weight)
    else:
        task = _read_regression(section, name, weight)
    section.close()
    return task


def _read_hazard(section: Section, name: str, weight: float) -> HazardTask:
    onset = Section(section.raw("onset"), section.at("onset"))
    when = compile_predicate(onset.raw("when"), onset.at("when"))
    at = choice(onset.take("at", str, "first"), onset.at("at"), ("first", "last"))
    onset.close()
    horizons = parse_horizons(
        section.take("horizons", list), section.raw("lead"), section.at("horizons"), section.at("lead")
    )
    until, rest = _read_cooldown(section.raw("cooldown"), section.at("cooldown"))
    if at == "last" and (until is not None or rest is not None):
        raise problem(
            section.at("cooldown"), Words("a cooldown"), "none with onset.at: last", "a final outcome comes once"
        )
    group = section.take("competes_in", str) if section.raw("competes_in") is not None else None
    return HazardTask(name, weight, when, at, horizons, until, rest, _read_only_when(section), group)


def _read_cooldown(source: object, path: str) -> tuple[Predicate | None, int | None]:
    if source is None:
        return None, None
    section = Section(source, path)
    if ("until" in section) == ("for" in section):
        raise problem(path, source, "either until: or for:", "for: ever ends observation at the first onset")
    until = compile_predicate(section.raw("until"), section.at("until")) if "until" in section else None
    pause = section.raw("for")
    section.close()
    if until is not None:
        return until, None
    return None, FOREVER if pause == EVER else parse_duration(pause, section.at("for"))


def _read_classification(section: Section, name: str, weight: float) -> ClassificationTask:
    field = section.take("field", str)
    at = choice(section.take("at", str, "same"), section.at("at"), ("same", "next", "last"))
    end_class = section.take("end_class", bool, False)
    if end_class and at != "next":
        raise problem(section.at("end_class"), True, "at: next beside it", "only a next event can be missing")
    classes = section.texts("classes")
    if classes is not None and (len(classes) < 2 or len(set(classes)) < len(classes)):
        raise problem(section.at("classes"), list(classes), "two or more distinct classes")
    bins = None
    if section.raw("bins") is not None:
        bins = tuple(_number(value, path) for path, value in section.items("bins"))
        named = len(classes or ()) - end_class
        if list(bins) != sorted(set(bins)) or named != len(bins) + 1:
            expected = f"ascending edges, one fewer than the classes, which must be given (found {named})"
            raise problem(section.at("bins"), list(bins), expected)
    if classes is not None and end_class and classes[-1] != END:
        raise problem(section.at("classes"), list(classes), f"{END!r} as the last class", "end_class is true")
    return ClassificationTask(name, weight, field, at, classes, end_class, bins, _read_only_when(section))


def _read_regression(section: Section, name: str, weight: float) -> RegressionTask:
    field = section.take("field", str)
    timed = field in TIME_FIELDS
    usual = {"gap": "next", "remaining_time": "last"}.get(field, "same")
    at = choice(section.take("at", str, usual), section.at("at"), ("same", "next", "last"))
    if timed and at != usual:
        raise problem(section.at("at"), at, f"no 'at' for {field}", f"it always looks at the {usual} event")
    if not timed and section.raw("unit") is not None:
        raise problem(section.at("unit"), section.raw("unit"), "no unit", "only gap and remaining_time have one")
    unit = choice(section.take("unit", str, "h"), section.at("unit"), tuple(_UNITS))
    transform = choice(section.take("transform", str, "none"), section.at("transform"), ("none", "log1p"))
    return RegressionTask(name, weight, field, at, transform, unit, _read_only_when(section))


def _read_only_when(section: Section) -> Predicate | None:
    source = section.raw("only_when")
    return None if source is None else compile_predicate(source, section.at("only_when"))


def _number(value: object, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise problem(path, value, "a number")
    return float(value)
