"""Protocols: how a data set is split and which prefixes count, and when a history starts and ends.

A split belongs to whole histories, or with the target's ``per`` to the cases within them. ``temporal`` tests on those
that start at or after a cut; ``customer`` on customers that training never saw; ``given`` follows a file; ``random``
only reproduces published random splits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from forewarn.events import Event, History
from forewarn.targets.cases import Cases
from forewarn.targets.horizon import parse_duration
from forewarn.targets.section import choice, problem
from forewarn.targets.spec import TargetSpec

SPLITS = ("temporal", "customer", "given", "random")


@dataclass
class ProtocolConfig:
    """How histories are split and which prefixes count."""

    name: str = "temporal"  # shown beside every result
    split: str = "temporal"  # temporal, customer, given or random
    test_quantile: float = 0.75  # temporal: histories starting at or after this quantile of the starts are test
    test_start: str | None = None  # temporal: ISO 8601 time of the cut, instead of test_quantile
    test_end: str | None = None  # temporal: ISO 8601 time; histories starting at or after it are left out
    data_end: str | None = None  # temporal: ISO 8601 time after which nothing is known, of the test neither
    valid: str = "latest"  # which modelling histories validate: latest (by start) or random
    valid_fraction: float = 0.2  # share of the modelling histories; calibration is fitted on a part of them
    train_fraction: float = 1.0  # share of the training customers that train; a smaller one lies within a larger
    purge: str = "0s"  # temporal: time before the cut that is not learnt from, such as 7d
    straddlers: str = "censor"  # temporal: histories still going on at cut - purge: censor or drop
    start: str = "first_event"  # when a history starts: first_event, or an attribute holding epoch seconds
    end: str = "last_event"  # when it ends: last_event, or an attribute holding epoch seconds
    max_prefix: int | None = None  # train and evaluate on the first max_prefix events of a history (or case) only
    customer_test_fraction: float = 0.25  # customer: share of customers; random: share of histories
    seed: int = 0  # of the customer, random and train_fraction choices
    # task -> row of a report -> published AUROC per prefix k = 1, 2, … under this very protocol, variable cohort
    published: dict[str, Any] = field(default_factory=dict)

    def check(self) -> ProtocolConfig:
        """Return self; raises ValueError naming the first setting that cannot be used."""
        choice(self.split, "protocol.split", SPLITS)
        choice(self.valid, "protocol.valid", ("latest", "random"))
        choice(self.straddlers, "protocol.straddlers", ("censor", "drop"))
        for name in ("test_quantile", "valid_fraction", "customer_test_fraction"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise problem(f"protocol.{name}", value, "a share between 0 and 1", "for example 0.2")
        if not 0 < self.train_fraction <= 1:
            raise problem("protocol.train_fraction", self.train_fraction, "a share above 0 and up to 1", "1 takes all")
        if self.max_prefix is not None and self.max_prefix < 1:
            raise problem("protocol.max_prefix", self.max_prefix, "a number of events from 1", "null takes all")
        parse_duration(self.purge, "protocol.purge")
        for name in ("test_start", "test_end", "data_end"):
            if getattr(self, name) is not None:
                parse_instant(getattr(self, name), f"protocol.{name}")
        return self


@dataclass(frozen=True)
class HistorySummary:
    """What a split needs to know of a history, or of one ``case`` within it; times are aware.

    ``start`` and ``end`` place it in time, ``first_seen`` is when its first event became visible (None: at the start).
    """

    history_id: str
    customer_id: str
    start: datetime
    end: datetime
    first_seen: datetime | None = None
    case: str | None = None

    @property
    def unit(self) -> str:
        """The id that a split is assigned to."""
        return unit_id(self.history_id, self.case)

    @property
    def name(self) -> str:
        """What a split file and a random choice know it by: a case has the same name in whatever history it lies."""
        return self.history_id if self.case is None else self.case


def unit_id(history_id: str, case: str | None) -> str:
    """The id of a history, or of a case within it: two histories may use the same name for a case."""
    return history_id if case is None else f"{history_id}/{case}"


def summarise(history: History, spec: TargetSpec, cfg: ProtocolConfig) -> list[HistorySummary]:
    """The summary of a whole history, or one of each case within it; none of what holds no visible event.

    It starts with its first visible event and ends with its last event of all, on which a label may rest. Raises
    ValueError when ``start`` or ``end`` names an attribute that the event does not carry.
    """
    seen = spec.seen(history.events)
    cases = Cases.of(history.events, spec.per)
    found = []
    for case, own in zip(cases.names, cases.events(), strict=True):
        visible = own[seen[own]]
        if not len(visible):
            continue
        first, last = history.events[own[0]], history.events[own[-1]]
        first_seen, unit = history.events[visible[0]].ingested_at, unit_id(history.history_id, case)
        start = first_seen if cfg.start == "first_event" else _instant(first, cfg.start, "protocol.start", unit)
        end = last.ingested_at if cfg.end == "last_event" else _instant(last, cfg.end, "protocol.end", unit)
        found.append(HistorySummary(history.history_id, history.customer_id, start, end, first_seen, case))
    return found


def _instant(event: Event, name: str, setting: str, unit: str) -> datetime:
    value = event.attributes.get(name)
    if not isinstance(value, float):
        raise problem(
            setting,
            value,
            f"attribute {name!r} with epoch seconds in history {unit!r}",
            "name another attribute, or first_event / last_event",
        )
    return datetime.fromtimestamp(value, UTC)


def parse_instant(text: str, setting: str = "protocol.test_start") -> datetime:
    """The aware time that a setting names; a time without zone is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise problem(setting, text, "an ISO 8601 time such as 2016-05-05T15:00:15Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
