"""Predicates over the events of a history: the vocabulary of onsets, filters and cooldowns.

    {field: made_sla, equals: "false"}      {field: state, in: [Closed, Cancelled]}
    {field: sentiment, below: -0.5}         {field: minutes_waiting, above: 60}
    {field: type, matches: "^call\\."}      {field: status, changes_to: escalated}
    {field: reassignment_count, increases: true}
    {all: [...]}  {any: [...]}  {not: ...}

A predicate is compiled once into closures that answer for all events of a history together. ``changes_to`` and
``increases`` compare with the previous event of the same history that carries the field, so a sparse table reads like
a dense one; the first value of a field is never a change. An event without the field satisfies nothing but ``not``.
Numbers and texts compare by what they say: 3 equals "3", ``false`` in YAML equals "false" in a table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from forewarn.events import Event, as_text
from forewarn.targets.section import Section, nearest, problem

Evaluate = Callable[[Sequence[Event]], np.ndarray]
_LEAVES = ("equals", "in", "above", "below", "matches", "changes_to", "increases")
_TIMES = ("occurred_at", "ingested_at")


@dataclass(frozen=True)
class Predicate:
    """A condition on events; ``source`` is its YAML form, ``fields`` the fields it reads."""

    source: dict[str, Any]
    fields: frozenset[str]
    _evaluate: Evaluate = field(compare=False, repr=False)

    def __call__(self, events: Sequence[Event]) -> np.ndarray:
        """Whether the condition holds at each event of a history, as bool [T]."""
        return self._evaluate(events)

    def __reduce__(self) -> tuple[Any, ...]:
        return compile_predicate, (self.source, "predicate")


def compile_predicate(source: object, path: str) -> Predicate:
    """Compile the YAML form; raises ValueError naming the key path when it is not a predicate."""
    section = Section(source, path)
    groups = [word for word in ("all", "any", "not") if word in section]
    if groups and "field" not in section:
        return _compile_group(section, groups[0])
    name = section.take("field", str)
    if name in _TIMES:
        raise problem(section.at("field"), name, "a field that is not a time", "use horizons, lead or cooldown.for")
    tests = [word for word in _LEAVES if word in section]
    if len(tests) != 1:
        unknown = [key for key in section if key not in ("field", *_LEAVES)]
        hint = nearest(unknown[0], _LEAVES) if unknown else "combine several with all: or any:"
        raise problem(path, unknown[0] if unknown else tests or None, "exactly one of " + ", ".join(_LEAVES), hint)
    value = section.raw(tests[0])
    section.close()
    evaluate = _compile_leaf(name, tests[0], value, section.at(tests[0]))
    return Predicate({"field": name, tests[0]: value}, frozenset([name]), evaluate)


def as_number(value: object) -> float | None:
    """The number that a value says, or None when it says none."""
    if isinstance(value, int | float):
        return float(value)
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _compile_group(section: Section, word: str) -> Predicate:
    if word == "not":
        inner = compile_predicate(section.raw("not"), section.at("not"))
        section.close()
        return Predicate({"not": inner.source}, inner.fields, lambda events: ~inner(events))
    parts = [compile_predicate(value, path) for path, value in section.items(word, required=True)]
    section.close()
    if not parts:
        raise problem(section.at(word), [], "at least one predicate")
    combine = np.logical_and.reduce if word == "all" else np.logical_or.reduce
    return Predicate(
        {word: [part.source for part in parts]},
        frozenset().union(*(part.fields for part in parts)),
        lambda events: combine([part(events) for part in parts]),
    )


def _compile_leaf(name: str, word: str, value: Any, path: str) -> Evaluate:
    if word in ("equals", "changes_to"):
        target = as_text(_scalar(value, path))
        if word == "equals":
            return _each(name, lambda found: as_text(found) == target)
        return _pairwise(name, lambda before, now: as_text(now) == target and as_text(before) != target)
    if word == "in":
        if not isinstance(value, list) or not value:
            raise problem(path, value, "a list of values")
        members = frozenset(as_text(_scalar(member, f"{path}[{i}]")) for i, member in enumerate(value))
        return _each(name, lambda found: as_text(found) in members)
    if word == "matches":
        pattern = _pattern(value, path)
        return _each(name, lambda found: pattern.search(as_text(found)) is not None)
    if word == "increases":
        if value is not True:
            raise problem(path, value, "true")
        return _pairwise(name, _rises)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise problem(path, value, "a number")
    limit = float(value)
    if word == "above":
        return _each(name, lambda found: (number := as_number(found)) is not None and number > limit)
    return _each(name, lambda found: (number := as_number(found)) is not None and number < limit)


def _each(name: str, test: Callable[[Any], bool]) -> Evaluate:
    """A test of one event's own value."""

    def evaluate(events: Sequence[Event]) -> np.ndarray:
        values = (event.value(name) for event in events)
        return np.fromiter((value is not None and test(value) for value in values), bool, len(events))

    return evaluate


def _pairwise(name: str, test: Callable[[Any, Any], bool]) -> Evaluate:
    """A test of one event's value against the last one before it."""

    def answers(events: Sequence[Event]) -> Iterator[bool]:
        before: Any = None
        for event in events:
            now = event.value(name)
            yield now is not None and before is not None and test(before, now)
            before = now if now is not None else before

    return lambda events: np.fromiter(answers(events), bool, len(events))


def _rises(before: object, now: object) -> bool:
    first, second = as_number(before), as_number(now)
    return first is not None and second is not None and second > first


def _scalar(value: object, path: str) -> object:
    if value is None or isinstance(value, list | dict):
        raise problem(path, value, "one value")
    return value


def _pattern(value: object, path: str) -> re.Pattern[str]:
    if not isinstance(value, str):
        raise problem(path, value, "a regular expression in quotes")
    try:
        return re.compile(value)
    except re.error as error:
        raise problem(path, value, "a regular expression", str(error)) from None
