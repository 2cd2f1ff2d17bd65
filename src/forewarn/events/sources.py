"""From a data config to events, histories and given splits: the entry that training and evaluation use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from forewarn.events.config import DataConfig
from forewarn.events.event import Event
from forewarn.events.histories import HistoryStore, build_histories
from forewarn.events.quarantine import Quarantine
from forewarn.events.readers import reader

_SPLITS = {"train": "train", "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid", "test": "test"}


def read_events(cfg: DataConfig, quarantine: Quarantine | None = None) -> Iterator[Event]:
    """The events of a data set in source order; raises ValueError for a setting or a file that cannot be used."""
    cfg.check()
    return reader(cfg).read(_files(cfg), cfg, quarantine or Quarantine())


def open_histories(cfg: DataConfig, folder: Path, *, progress: bool = False) -> HistoryStore:
    """Read a data set into a history store in the folder, replacing a store that is there.

    In lenient mode bad rows go to ``cfg.quarantine``, or to ``<folder>.quarantine.jsonl`` beside the store.
    Raises EventError at the first bad row in strict mode, ValueError for settings and files that cannot be used.
    """
    folder = Path(folder)
    aside = Path(cfg.quarantine) if cfg.quarantine else folder.with_name(f"{folder.name}.quarantine.jsonl")
    with Quarantine(aside if cfg.errors == "lenient" else None) as quarantine:
        events = tqdm(read_events(cfg, quarantine), desc="events", unit=" events", disable=not progress, delay=1)
        return build_histories(events, folder, by=cfg.by, quarantine=quarantine)


def given_splits(cfg: DataConfig) -> dict[str, str] | None:
    """The given split of each history or customer, ``{id: "train" | "valid" | "test"}``; None without ``cfg.splits``.

    ``cfg.splits`` is "official" for a data set that has a published split, or a table with a column ``history_id`` or
    ``customer_id`` and a column ``split``. Raises ValueError for a file without them, an unknown or a second split.
    """
    if cfg.splits is None:
        return None
    if cfg.splits == "official":
        official = getattr(reader(cfg), "official_splits", None)
        if official is None:
            raise ValueError(
                f"data.splits: found official, expected a file: the reader {cfg.reader} knows no published split; "
                "give a table with customer_id and split"
            )
        published: dict[str, str] = official(_files(cfg), cfg)
        return published
    return _split_table(cfg.path(cfg.splits))


def _files(cfg: DataConfig) -> list[Path]:
    return [] if cfg.reader == "simulator" else cfg.event_files()


def _split_table(path: Path) -> dict[str, str]:
    # Imported here: only tables need the table reader, and serving imports this module.
    from forewarn.events.readers.csv_rows import CsvDialect
    from forewarn.events.readers.table import table_rows

    if not path.is_file():
        raise ValueError(f"data.splits: found no file {path}, expected a table with customer_id and split; correct it")
    splits: dict[str, str] = {}
    for line, row in table_rows(path, CsvDialect(), Quarantine()):
        key = row.get("history_id", row.get("customer_id"))
        split = _SPLITS.get(str(row.get("split")))
        if key is None or split is None:
            raise ValueError(
                f"{path}:{line}: found {row}, expected customer_id (or history_id) and split; "
                "the split is train, valid or test"
            )
        if splits.setdefault(str(key), split) != split:
            raise ValueError(f"{path}:{line}: found {key} in {split} and in {splits[str(key)]}, expected one; drop one")
    return splits
