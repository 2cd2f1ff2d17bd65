"""What a user says about a data set: where its files are, how they are read, and what the model may see.

Design choices
- One typed dataclass for every reader, so that a data set is one ``conf/data/*.yaml`` and never code. What only one
  reader understands goes into ``options`` and is checked by that reader.
- Types are those OmegaConf can hold (a value that may be a word or a list is ``Any``); ``check`` says the rest.
"""

from __future__ import annotations

import glob
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

CLOCKS = ("time", "none")
ERRORS = ("strict", "lenient")


@dataclass
class InputsConfig:
    """Which fields of an event the model may see; evidence of the target is excluded by the target itself."""

    categorical: Any = "auto"  # list of field names, or "auto": every text attribute and type, channel, actor
    numeric: Any = "auto"  # list of attribute names, or "auto": every numeric attribute
    crosses: list[list[str]] = field(default_factory=list)  # fields that also read as one, as [[group, assignee]]
    text: bool = True  # whether the text of an event is an input
    exclude: list[str] = field(default_factory=list)  # fields, derived ones too, that are never inputs
    issue: str | None = None  # field that says what an event is about, to know when that last came up in another case


@dataclass
class DataConfig:
    """One data set: its files, its reader, its sequence key and its inputs."""

    reader: str = "table"  # a module of events/readers that has read()
    events: Any = None  # path, glob, or list of either; relative to root
    root: str = "."  # folder that relative paths start from
    splits: str | None = None  # table with customer_id (or history_id) and split, or "official"
    by: str = "customer_id"  # field whose value makes a history: customer_id, case_id, conversation_id or an attribute
    columns: dict[str, str] = field(default_factory=dict)  # name in forewarn -> column in the file
    time_format: str | None = None  # strptime layout of times, "epoch_s" or "epoch_ms"; None reads ISO 8601
    clock: str = "time"  # "none": rows have no time, they follow file order one second apart
    source: str = "table"  # value of Event.source where a record has none
    errors: str = "strict"  # "strict" stops at the first bad row, "lenient" sets it aside and counts it
    quarantine: str | None = None  # JSONL file for rows set aside; None: beside the history store
    inputs: InputsConfig = field(default_factory=InputsConfig)
    options: dict[str, Any] = field(default_factory=dict)  # what only this reader understands
    homepage: str | None = None  # where the data set is published, told when a file is missing
    default_target: str | None = None  # target used when none is given

    def check(self) -> DataConfig:
        """Return self; raises ValueError naming the first setting that cannot be used."""
        _one_of("clock", self.clock, CLOCKS)
        _one_of("errors", self.errors, ERRORS)
        for name in ("categorical", "numeric"):
            value = getattr(self.inputs, name)
            if value != "auto" and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
                raise ValueError(
                    f'data.inputs.{name}: found {value!r}, expected "auto" or a list of field names; '
                    f"for example data.inputs.{name}=[type,queue]"
                )
        return self

    def option(self, name: str, default: Any) -> Any:
        """A reader's own setting, of the type of its default; raises ValueError for another type."""
        value = self.options.get(name, default)
        wanted = (float, int) if isinstance(default, float) else type(default)
        if default is not None and (not isinstance(value, wanted) or isinstance(value, bool) != (wanted is bool)):
            raise ValueError(
                f"data.options.{name}: found {value!r}, expected {type(default).__name__} such as {default!r}; "
                f"set data.options.{name}"
            )
        return value

    def check_options(self, known: tuple[str, ...]) -> None:
        """Raises ValueError for an option that the reader does not know, with the nearest that it knows."""
        for name in self.options:
            if name not in known:
                close = get_close_matches(str(name), known, n=1)
                fix = f"did you mean {close[0]}?" if close else "take it out"
                raise ValueError(
                    f"data.options.{name}: found an unknown option, expected one of "
                    f"{', '.join(known) or 'none'} for the reader {self.reader}; {fix}"
                )

    def event_files(self) -> list[Path]:
        """The files to read, globs expanded and sorted; raises ValueError saying what is missing and where it goes."""
        named = [self.events] if isinstance(self.events, str) else list(self.events or [])
        if not named:
            raise ValueError(
                "data.events: found nothing, expected a path, a glob or a list of paths; "
                "for example data.events=my_events.csv"
            )
        return [file for name in named for file in self._expand(str(name))]

    def path(self, name: str) -> Path:
        """A path of this data set: relative ones start from root, ~ is the home folder."""
        return Path(self.root).expanduser() / Path(name).expanduser()

    def _expand(self, name: str) -> list[Path]:
        path = self.path(name)
        if path.is_file():
            return [path]
        if path.is_dir():
            raise ValueError(
                f"data.events: found the folder {path}, expected files; name them with a glob such as {path / '*.csv'}"
            )
        found = [Path(match) for match in sorted(glob.glob(str(path), recursive=True)) if Path(match).is_file()]
        if not found:
            raise ValueError(missing_file(path, self.homepage))
        return found


def missing_file(path: Path, homepage: str | None) -> str:
    """What to tell a user whose file is not there: where it is published and the exact path to put it."""
    told = f"data.events: found no file {path}, expected the events to be there"
    if homepage is None:
        return f"{told}; correct data.events (relative paths start from data.root)"
    return (
        f"{told}. The data set is published at {homepage.strip()}. Put the original file at {path.absolute()}, "
        "or set FOREWARN_DATA (or data.root) to the folder that holds it"
    )


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"data.{name}: found {value!r}, expected one of {', '.join(allowed)}; correct data.{name}")
