"""Strict reading of a YAML mapping: every key is taken by name, and what nobody took is refused.

A typo in a target spec must never become a silent default, so a ``Section`` knows its own key path, checks the kind of
every value, and on ``close`` refuses left-over keys with the nearest known one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar, overload

T = TypeVar("T")
_REQUIRED: Any = object()
_KINDS = {
    str: "text",
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    list: "a list",
    dict: "a mapping",
}


class Words(str):
    """A description of what was found, to be shown as it is and not as a quoted value."""


def problem(path: str, found: object, expected: str, fix: str = "") -> ValueError:
    """The one form of every user error in a target spec or protocol: key path, found, expected, fix."""
    return ValueError(f"{path}: found {_shown(found)}, expected {expected}" + (f"; {fix}" if fix else ""))


def nearest(name: str, known: Sequence[str]) -> str:
    """``did you mean 'x'?`` or the list of known names, to end an error about an unknown one."""
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}"


def choice(value: object, path: str, known: Sequence[str]) -> str:
    """One of a fixed set of words."""
    if not isinstance(value, str) or value not in known:
        hint = nearest(value, known) if isinstance(value, str) else ""
        raise problem(path, value, "one of " + ", ".join(known), hint)
    return value


class Section:
    """A mapping being read strictly; ``path`` is its key path, for errors."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, Mapping):
            raise problem(path, value, "a mapping")
        self.path = path
        self._values = {str(key): item for key, item in value.items()}
        self._taken: list[str] = []

    def at(self, key: str) -> str:
        """The key path of one member."""
        return f"{self.path}.{key}"

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    @overload
    def take(self, key: str, kind: type[T]) -> T: ...
    @overload
    def take(self, key: str, kind: type[T], default: T) -> T: ...
    def take(self, key: str, kind: type[T], default: Any = _REQUIRED) -> Any:
        """A value of the given kind; raises ValueError when it is missing without a default or of another kind.

        An explicit ``null`` is the same as leaving the key out.
        """
        value = self.raw(key)
        if value is None:
            if default is _REQUIRED:
                raise problem(self.at(key), None, _KINDS[kind], f"add {key!r}")
            return default
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise problem(self.at(key), value, _KINDS[kind])
        return value

    def raw(self, key: str) -> Any:
        """A value of any kind; None when the key is absent."""
        self._taken.append(key)
        return self._values.get(key)

    def items(self, key: str, *, required: bool = False) -> Iterator[tuple[str, Any]]:
        """The members of a list with their key paths; none when the key is absent."""
        values = self.take(key, list, _REQUIRED if required else [])
        return ((f"{self.at(key)}[{i}]", value) for i, value in enumerate(values or []))

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of texts; None when the key is absent."""
        if self.raw(key) is None:
            return None
        found = []
        for path, value in self.items(key):
            if not isinstance(value, str):
                raise problem(path, value, "text", "put it in quotes")
            found.append(value)
        return tuple(found)

    def close(self) -> None:
        """Refuse every key that was not taken."""
        for key in self._values:
            if key not in self._taken:
                raise problem(self.at(key), Words("an unknown key"), "only known keys", nearest(key, self._taken))


def _shown(found: object) -> str:
    if found is None:
        return "nothing"
    if isinstance(found, Words):
        return str(found)
    shown = repr(found)
    return shown if len(shown) <= 80 else shown[:77] + "..."
