"""Crosses: several categorical fields read as one more, for what only their combination says.

A network adds its fields' embeddings, and trees split on one field at a time; which of 200 agents has a ticket within
which of 70 groups is one fact to neither. A cross gives the combination a token of its own (wide and deep learning,
Cheng et al. 2016, arXiv 1606.07792).
"""

from __future__ import annotations

from collections.abc import Sequence

from forewarn.events import CATEGORICAL_FIELDS, Event, as_text

Value = str | float | None


def cross_name(fields: Sequence[str]) -> str:
    """The name of a cross among the categorical fields."""
    return "*".join(fields)


def field_values(events: Sequence[Event], name: str) -> list[Value]:
    """A categorical field's value per event [T], None where it is missing."""
    if name in CATEGORICAL_FIELDS:
        return [getattr(event, name) for event in events]
    return [event.attributes.get(name) for event in events]


def cross_values(columns: Sequence[Sequence[Value]]) -> list[str | None]:
    """The combined value per event [T] of the columns of a cross; missing where every part is."""
    return [
        None
        if all(part is None for part in parts)
        else "\x1f".join("" if part is None else as_text(part) for part in parts)
        for parts in zip(*columns, strict=True)
    ]


def check_crosses(crosses: Sequence[Sequence[str]], categorical: Sequence[str]) -> None:
    """ValueError unless every cross names two or more different categorical inputs, and none comes twice."""
    seen = set()
    for fields in crosses:
        if len(fields) < 2 or len(set(fields)) < len(fields):
            raise ValueError(
                f"data.inputs.crosses: found {list(fields)}, expected two or more different fields; "
                "for example data.inputs.crosses=[[group,assignee]]"
            )
        for name in fields:
            if name not in categorical:
                raise ValueError(
                    f"data.inputs.crosses: found {name!r}, expected categorical inputs ({', '.join(categorical)}); "
                    "correct the name, or list the field under data.inputs.categorical"
                )
        if (name := cross_name(fields)) in seen:
            raise ValueError(f"data.inputs.crosses: found {name!r} twice, expected each cross once; take one away")
        seen.add(name)
