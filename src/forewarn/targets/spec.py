"""A target spec: what is predicted, as one versioned YAML file that is hashed into every bundle.

Design choices
- The YAML source is the spec. It is kept in its normal form, so hashing, writing into a bundle and pickling need no
  second description; everything else is compiled from it.
- ``exclude_events`` hides events from the model: they are no input and no observation point. Labels still read the
  whole history. In the ServiceNow log the SLA verdict is written on the very Resolved and Closed events that the
  model must not see: without them 1 in 5,000 test incidents is a miss, with them 1 in 4.
- Fields that decide a label are never inputs. ``type`` is the exception, because an event's type is known when it
  happens, and so is a field labelled only ``at: next``. Whoever knows that another such field is an honest value at
  its event names it in ``keep_inputs``.
- ``complete`` tells what the end of a history means: true, nothing can follow (a closed case); false, it is only the
  latest event so far (a customer), and what follows is unknown.
- ``per`` asks the question of each case within a history. What the model may see is the whole history all the same.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from forewarn.events import Event, History
from forewarn.targets.competing import check_groups, group_of
from forewarn.targets.horizon import EVER, FOREVER
from forewarn.targets.predicate import Predicate, compile_predicate
from forewarn.targets.section import Section, Words, nearest, problem
from forewarn.targets.tasks import END, TIME_FIELDS, ClassificationTask, HazardTask, Task, expand_task, read_task

# Beside the configuration groups of the programs, wherever a program is started.
FOLDER = Path(__file__).resolve().parents[3] / "conf" / "targets"


@dataclass(frozen=True)
class TargetSpec:
    """The tasks of a model, which events it may see and which fields it may not."""

    name: str
    version: str
    description: str
    complete: bool
    per: str | None
    exclude_events: Predicate | None
    exclude_inputs: tuple[str, ...]
    keep_inputs: tuple[str, ...]
    tasks: tuple[Task, ...]
    source: dict[str, Any]

    @classmethod
    def load(cls, path_or_name: str | Path, folder: Path = FOLDER) -> TargetSpec:
        """Read a spec from a YAML file, or by name from ``folder``; raises ValueError naming what is wrong."""
        path = Path(path_or_name)
        if path.suffix not in (".yaml", ".yml"):
            path = folder / f"{path_or_name}.yaml"
        if not path.is_file():
            known = [file.stem for file in sorted(path.parent.glob("*.yaml"))]
            hint = nearest(path.stem, known) if known else f"there is no target in {path.parent}"
            raise problem("target", str(path_or_name), "a target name or the path of a YAML file", hint)
        try:
            return cls.from_yaml(path.read_text(encoding="utf-8"), where=path.name)
        except yaml.YAMLError as error:
            raise problem(path.name, Words("text that is not YAML"), "a target spec", str(error)) from None

    @classmethod
    def from_yaml(cls, text: str, where: str = "target") -> TargetSpec:
        """Read a spec from YAML text."""
        return cls.parse(yaml.safe_load(text), where)

    @classmethod
    def parse(cls, source: object, where: str = "target") -> TargetSpec:
        """Read a spec from a mapping; ``where`` begins every key path in errors."""
        section = Section(source, where)
        name = section.take("name", str)
        version = str(section.raw("version") or "1")
        description = section.take("description", str, "")
        complete = section.take("complete", bool, True)
        per = section.take("per", str) if section.raw("per") is not None else None
        hidden = section.raw("exclude_events")
        predicate = None if hidden is None else compile_predicate(hidden, section.at("exclude_events"))
        exclude = section.texts("exclude_inputs") or ()
        keep = section.texts("keep_inputs") or ()
        sources: list[Any] = []
        tasks: list[Task] = []
        for path, entry in section.items("tasks", required=True):
            for part in expand_task(entry, path):
                tasks.append(read_task(part, path))
                sources.append(part)
        section.close()
        _check_tasks(tasks, complete, section.at("tasks"))
        both = set(exclude) & set(keep)
        if both:
            raise problem(section.at("keep_inputs"), sorted(both), "no field that exclude_inputs names too")
        normal = {key: value for key, value in dict(source).items() if value is not None}  # type: ignore[call-overload]
        return cls(
            name,
            version,
            description,
            complete,
            per,
            predicate,
            exclude,
            keep,
            tuple(tasks),
            normal | {"version": version, "complete": complete, "tasks": sources},
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return TargetSpec.parse, (self.source,)

    @property
    def hash(self) -> str:
        """SHA-256 of the spec in its normal form, in hexadecimal."""
        return hashlib.sha256(json.dumps(self.source, sort_keys=True).encode()).hexdigest()

    def to_yaml(self) -> str:
        """The normal form as YAML; reading it back gives an equal spec with the same hash."""
        return yaml.safe_dump(self.source, sort_keys=False, allow_unicode=True)

    def task(self, name: str) -> Task:
        """The task of that name."""
        found = {task.name: task for task in self.tasks}
        if name not in found:
            raise problem("task", name, f"a task of target {self.name}", nearest(name, list(found)))
        return found[name]

    def group(self, task: HazardTask) -> tuple[HazardTask, ...]:
        """The hazard tasks that compete with one, itself included, in the order of the spec; alone where none does."""
        return group_of(task, self.tasks)

    def seen(self, events: list[Event]) -> np.ndarray:
        """Which events of a whole history the model may see, bool [N]."""
        return np.ones(len(events), bool) if self.exclude_events is None else ~self.exclude_events(events)

    def visible(self, history: History, observed_until: datetime | None = None) -> History:
        """The history as the model may see it: without hidden events, and without those after ``observed_until``.

        The rows of ``label_history`` with the same arguments are exactly these events. It may be empty.
        """
        events = history.events
        if self.exclude_events is not None:
            events = [event for event, seen in zip(events, self.seen(events).tolist(), strict=True) if seen]
        if observed_until is not None:
            events = [event for event in events if event.ingested_at <= observed_until]
        return History(history.history_id, history.customer_id, events)

    def check_clockless(self) -> TargetSpec:
        """Return self; raises ValueError for a duration, which says nothing of data whose rows lie a second apart."""
        for task in self.tasks:
            if not isinstance(task, HazardTask):
                continue
            timed = [name for name in task.horizons.names if name != EVER and task.horizons.clock]
            if task.horizons.lead and task.horizons.clock:
                timed.append("the lead")
            if task.rest is not None and task.rest < FOREVER:
                timed.append("cooldown.for")
            if timed:
                raise problem(
                    f"task {task.name}",
                    Words(f"{timed[0]} in clock time"),
                    "counts such as '3 events', or ever, as the data has no clock (data.clock=none)",
                    "count in events, or give the data its times",
                )
        return self

    def evidence_fields(self) -> set[str]:
        """Fields that decide a label and therefore are never inputs, unless ``keep_inputs`` names them."""
        fields: set[str] = set()
        for task in self.tasks:
            if isinstance(task, HazardTask):
                fields |= task.when.fields | (task.until.fields if task.until else set())
                fields.discard("type")
        for task in self.tasks:
            if not isinstance(task, HazardTask) and task.at != "next":
                fields.add(task.field)
        return fields - set(TIME_FIELDS) - set(self.keep_inputs)

    def hidden_inputs(self) -> set[str]:
        """Every field that must not reach the model: evidence and ``exclude_inputs``."""
        return self.evidence_fields() | set(self.exclude_inputs)

    def with_classes(self, histories: Iterable[History]) -> TargetSpec:
        """Fill open class lists from training histories: most frequent class first, ties by name, ``<end>`` last.

        With ``per`` give each training case as a history of its own. Raises ValueError when a task finds fewer than two
        classes.
        """
        open_tasks = [task for task in self.tasks if isinstance(task, ClassificationTask) and task.classes is None]
        if not open_tasks:
            return self
        counts: dict[str, Counter[str]] = {task.name: Counter() for task in open_tasks}
        for history in histories:
            visible = self.visible(history).events
            labelled = {"same": visible, "next": visible[1:], "last": history.events[-1:]}
            for task in open_tasks:
                events = labelled[task.at]
                values = (task.class_of(event.value(task.field)) for event in events)
                counts[task.name].update(str(value) for value in values if value is not None)
        return TargetSpec.parse(self.source | {"tasks": [_fill(source, counts) for source in self.source["tasks"]]})


def _fill(source: Mapping[str, Any], counts: Mapping[str, Counter[str]]) -> dict[str, Any]:
    if source["name"] not in counts:
        return dict(source)
    found = counts[source["name"]]
    classes = sorted(found, key=lambda value: (-found[value], value))
    if source.get("end_class"):
        classes.append(END)
    if len(classes) < 2:
        expected = f"at least two classes of field {source['field']!r} in the training histories"
        raise problem(f"task {source['name']}", classes, expected, "check the field's name, or name the classes")
    return dict(source) | {"classes": classes}


def _check_tasks(tasks: list[Task], complete: bool, path: str) -> None:
    if not tasks:
        raise problem(path, [], "at least one task")
    names = [task.name for task in tasks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise problem(path, twice, "a different name for each task")
    check_groups(tasks, path)
    for task in tasks:
        if isinstance(task, HazardTask) and not complete and EVER in task.horizons.names:
            raise problem(
                f"{path}.{task.name}.horizons",
                EVER,
                "only ends in time or events when complete is false",
                "a history that is still going on never shows that no onset comes",
            )
