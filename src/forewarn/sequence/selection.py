"""Which attributes become inputs: the whitelist of the data config, or a choice made from the training histories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from forewarn.events import CATEGORICAL_FIELDS, CORE_FIELDS, History, as_text
from forewarn.sequence.crosses import cross_values, field_values

# An automatically chosen category must repeat: a field with a new value on most events is an id, not a category.
_LARGEST_DISTINCT_SHARE = 0.5
_LONGEST_CATEGORY = 120  # characters; longer values are prose, which belongs in `text`


@dataclass
class FieldStatistics:
    """What the training histories say about every field: category counts, numeric values, whether texts exist."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    numbers: dict[str, list[float]] = field(default_factory=dict)
    crosses: dict[str, Counter[str]] = field(default_factory=dict)
    has_text: bool = False

    @classmethod
    def collect(cls, histories: Iterable[History], crosses: Mapping[str, Sequence[str]]) -> FieldStatistics:
        """Reads every event of `histories` once; `crosses` names the fields that are counted combined too."""
        statistics = cls(
            {name: Counter() for name in CATEGORICAL_FIELDS}, crosses={name: Counter() for name in crosses}
        )
        counts, numbers = statistics.counts, statistics.numbers
        for history in histories:
            for event in history.events:
                statistics.has_text = statistics.has_text or bool(event.text)
                for name in CATEGORICAL_FIELDS:
                    value = getattr(event, name)
                    if value is not None:
                        counts[name][value] += 1
                for name, value in event.attributes.items():
                    if isinstance(value, float):
                        numbers.setdefault(name, []).append(value)
                    else:
                        counts.setdefault(name, Counter())[value] += 1
            for name, fields in crosses.items():
                columns = [field_values(history.events, part) for part in fields]
                statistics.crosses[name].update(value for value in cross_values(columns) if value is not None)
        return statistics

    def categories(self, name: str) -> Counter[str]:
        """Counts per category, numbers counted as categories too."""
        if name in self.crosses:
            return self.crosses[name]
        counts = Counter(self.counts.get(name, Counter()))
        counts.update(map(as_text, self.numbers.get(name, ())))
        return counts

    def values(self, name: str) -> NDArray[np.float64]:
        """The numeric values [N] seen under a name."""
        return np.array(self.numbers.get(name, []), dtype=np.float64)

    @property
    def attributes(self) -> list[str]:
        """Every attribute name seen, in order of the alphabet."""
        return sorted((self.counts.keys() | self.numbers.keys()) - set(CATEGORICAL_FIELDS))


def choose_fields(
    statistics: FieldStatistics, categorical: list[str] | str, numeric: list[str] | str, exclude: set[str]
) -> tuple[list[str], list[str]]:
    """The categorical and numeric input fields; "auto" takes every attribute that can carry information.

    Raises ValueError where a listed field was never seen, is excluded (the evidence of the label never is an input), is
    in both lists, or is to be numeric without ever having been a number.
    """
    for kind, listed, other in (("categorical", categorical, numeric), ("numeric", numeric, categorical)):
        for name in listed if not isinstance(listed, str) else []:
            if name in exclude:
                raise ValueError(
                    f"data.inputs.{kind}: found {name!r}, expected no field that the target is defined by or excludes, "
                    "nor the one that makes histories; take it off the list"
                )
            if name not in CATEGORICAL_FIELDS and name not in statistics.attributes:
                raise ValueError(
                    f"data.inputs.{kind}: found {name!r}, expected an attribute of the training events "
                    f"({', '.join(statistics.attributes)}); correct the name or take it off the list"
                )
            if not isinstance(other, str) and name in other:
                raise ValueError(
                    f"data.inputs.{kind}: found {name!r} in the other list too, expected each field in one; choose one"
                )
            if kind == "numeric" and name not in statistics.numbers:
                raise ValueError(
                    f"data.inputs.numeric: found {name!r}, which is text in the training events, expected a field that "
                    "holds numbers; list it under data.inputs.categorical"
                )
    if isinstance(categorical, str):
        listed_numeric = set() if isinstance(numeric, str) else set(numeric)
        candidates = [*CATEGORICAL_FIELDS, *(name for name in statistics.attributes if name not in listed_numeric)]
        categorical = [name for name in candidates if name not in exclude and _is_category(statistics, name)]
    if isinstance(numeric, str):
        numeric = [
            name
            for name in statistics.attributes
            if name not in exclude and name not in categorical and len(np.unique(statistics.values(name))) > 1
        ]
    # The type of an event is what makes it an event: it is an input whatever the lists say.
    return list(dict.fromkeys(["type", *categorical])), list(numeric)


def check_issue(statistics: FieldStatistics, issue: str | None, exclude: set[str]) -> None:
    """Raises ValueError where the issue is a field that was never seen, or one that must not reach the model."""
    if issue is None:
        return
    if issue in exclude:
        raise ValueError(
            f"data.inputs.issue: found {issue!r}, expected no field that the target is defined by or excludes; "
            "name another one"
        )
    if issue not in CORE_FIELDS and issue not in statistics.attributes:
        raise ValueError(
            f"data.inputs.issue: found {issue!r}, expected an attribute of the training events "
            f"({', '.join(statistics.attributes)}); correct the name, or null for none"
        )


def _is_category(statistics: FieldStatistics, name: str) -> bool:
    counts = statistics.counts.get(name, Counter())
    total = counts.total()
    if total < len(statistics.numbers.get(name, ())) or len(counts) < 2:
        return False
    prose = sum(count for value, count in counts.items() if len(value) > _LONGEST_CATEGORY)
    return len(counts) <= max(_LARGEST_DISTINCT_SHARE * total, 20) and prose <= 0.5 * total
