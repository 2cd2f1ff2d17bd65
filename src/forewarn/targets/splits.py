"""Splits: every history becomes train, valid, test or dropped, as a protocol says.

Design choices
- With the target's ``per`` it is the cases within the histories that are split, by the very same rules: the cases of
  one customer then fall into several splits, and a split learns or tests on the rows of its own cases alone.
- Nothing learnt from may lie within ``purge`` before the cut: modelling histories are observed until cut - purge.
  Those still going on then are straddlers. ``censor`` keeps their early part with masked labels; ``drop`` leaves them
  out, which keeps only the quickly closed late ones (measured on the ServiceNow log: base rate .568 in training
  against .400 in test), so it serves comparison with published rows.
- ``test_end`` closes the test to histories that start later, ``data_end`` also blinds it to what happens later: one
  origin of several, and origins that leave the test split of another protocol unread.
- Validation is the latest part of the modelling histories, like the test. ``valid: random`` is for protocols that drop
  straddlers: there the latest part is the most distorted one (base rate .248 on the ServiceNow log).
- Random choices rank names by a hash with the seed, so they depend neither on order nor on what else is in the data.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from forewarn.targets.horizon import parse_duration
from forewarn.targets.protocol import HistorySummary, ProtocolConfig, parse_instant
from forewarn.targets.section import Words, problem


@dataclass(frozen=True)
class SplitAssignment:
    """The split of every history, or of every case within one (``unit_id``): train, valid, test or dropped.

    ``cut`` is the start of the test of a temporal split, ``learn_until`` the last moment that training and validation
    may look at, ``data_end`` the last moment of any history. ``counts`` holds histories per split and, for the
    dropped, why. ``unseen`` are those of the test whose customer neither trains nor validates.
    """

    split: dict[str, str]
    cut: datetime | None
    learn_until: datetime | None
    data_end: datetime
    counts: dict[str, int] = field(default_factory=dict)
    unseen: frozenset[str] = frozenset()

    def observed_until(self, unit: str) -> datetime:
        """The last moment at which this history (or case) is observed: what to give ``label_history``."""
        return self.split_until(self.split[unit])

    def split_until(self, split: str) -> datetime:
        """The last moment at which the histories of a split are observed."""
        learns = split in ("train", "valid")
        return self.learn_until if learns and self.learn_until is not None else self.data_end


def assign_splits(
    index: Sequence[HistorySummary], cfg: ProtocolConfig, given: Mapping[str, str] | None = None
) -> SplitAssignment:
    """Split what is summarised; ``given`` maps history (or case) or customer ids to splits, for split: given.

    Raises ValueError for an unusable setting, or when train, valid or test would stay empty.
    """
    cfg.check()
    if not index:
        raise problem("data", Words("no visible event"), "at least one", "check the target's exclude_events and per")
    cut = learn_until = None
    if cfg.split == "temporal":
        cut = _cut(index, cfg)
        learn_until = cut - timedelta(microseconds=parse_duration(cfg.purge, "protocol.purge"))
        split = {item.unit: _temporal(item, cut, learn_until, cfg) for item in index}
    elif cfg.split == "given":
        split = _given(index, given)
    else:
        by_customer = cfg.split == "customer"
        names = {item.unit: item.customer_id if by_customer else item.name for item in index}
        held_out = _share(set(names.values()), cfg.customer_test_fraction, f"test {cfg.seed}")
        split = {unit: "test" if name in held_out else "train" for unit, name in names.items()}
    if "valid" not in split.values():
        _take_valid(index, split, cfg)
    if cfg.train_fraction < 1:
        _leave_out(index, split, cfg)
    counts = dict(Counter(split.values()))
    for name in ("train", "valid", "test"):
        if not counts.get(name):
            raise problem(
                "protocol",
                Words(f"no {name} history among {len(index)} ({counts})"),
                "some in each split",
                "change test_quantile, test_start, valid_fraction or the given split",
            )
    learnt = {item.customer_id for item in index if split[item.unit] in ("train", "valid")}
    tested = [item for item in index if split[item.unit] == "test"]
    return SplitAssignment(
        {name: "dropped" if kind.startswith("dropped") else kind for name, kind in split.items()},
        cut,
        learn_until,
        _data_end(index, cfg),
        counts,
        frozenset(item.unit for item in tested if item.customer_id not in learnt),
    )


def _cut(index: Sequence[HistorySummary], cfg: ProtocolConfig) -> datetime:
    """The start of the test."""
    return parse_instant(cfg.test_start) if cfg.test_start is not None else start_quantile(index, cfg.test_quantile)


def _data_end(index: Sequence[HistorySummary], cfg: ProtocolConfig) -> datetime:
    """The last moment of all, or the one after which the protocol lets nothing be known."""
    last = max(item.end for item in index)
    return last if cfg.data_end is None else min(last, parse_instant(cfg.data_end))


def start_quantile(index: Sequence[HistorySummary], quantile: float) -> datetime:
    """The time before which this share of the histories starts, linear between two starts."""
    starts = np.array([item.start.timestamp() for item in index])
    return datetime.fromtimestamp(float(np.quantile(starts, quantile)), UTC)


def _temporal(item: HistorySummary, cut: datetime, learn_until: datetime, cfg: ProtocolConfig) -> str:
    seen = max(item.start, item.first_seen or item.start)
    if cfg.test_end is not None and item.start >= parse_instant(cfg.test_end):
        return "dropped_later"
    if cfg.data_end is not None and seen >= parse_instant(cfg.data_end):
        return "dropped_later"
    if item.start >= cut:
        return "test"
    if cfg.straddlers == "drop" and item.start < learn_until <= item.end:
        return "dropped_straddling"
    if seen >= learn_until:
        return "dropped_purged"
    return "train"


def _given(index: Sequence[HistorySummary], given: Mapping[str, str] | None) -> dict[str, str]:
    if given is None:
        raise problem("data.splits", None, "a split file for split: given", "set data.splits, or choose a protocol")
    split = {item.unit: given.get(item.name, given.get(item.customer_id, "dropped_unlisted")) for item in index}
    if set(split.values()) == {"dropped_unlisted"}:
        raise problem(
            "data.splits",
            Words(f"ids such as {next(iter(given), None)!r}"),
            f"history or customer ids such as {index[0].name!r}",
            "correct the split file",
        )
    return split


def _take_valid(index: Sequence[HistorySummary], split: dict[str, str], cfg: ProtocolConfig) -> None:
    """Turn a part of the training histories into validation: whole customers where the split is by customer."""
    training = [item for item in index if split[item.unit] == "train"]
    if cfg.split == "customer" or cfg.valid == "random":
        by_customer = cfg.split == "customer"
        names = {item.customer_id if by_customer else item.name for item in training}
        chosen = _share(names, cfg.valid_fraction, f"valid {cfg.seed}")
        picked = [item for item in training if (item.customer_id if by_customer else item.name) in chosen]
    else:
        training.sort(key=lambda item: (item.start, item.unit))
        picked = training[len(training) - _size(len(training), cfg.valid_fraction) :]
    for item in picked:
        split[item.unit] = "valid"


def _leave_out(index: Sequence[HistorySummary], split: dict[str, str], cfg: ProtocolConfig) -> None:
    """Keep a share of the training histories, whole customers: a smaller share lies within every larger one."""
    training = [item for item in index if split[item.unit] == "train"]
    kept = _share({item.customer_id for item in training}, cfg.train_fraction, f"train {cfg.seed}")
    for item in training:
        if item.customer_id not in kept:
            split[item.unit] = "dropped_left_out"


def _share(names: set[str], fraction: float, salt: str) -> set[str]:
    """A pseudo-random share of names."""
    ranked = sorted(names, key=lambda name: hashlib.sha256(f"{salt} {name}".encode()).digest())
    return set(ranked[: _size(len(ranked), fraction)])


def _size(number: int, fraction: float) -> int:
    """How many make up a share: at least one of two or more."""
    return max(round(number * fraction), min(number - 1, 1))
