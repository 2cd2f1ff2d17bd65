"""Events: the record every room works with, its readers, and the out-of-core store of histories."""

from __future__ import annotations

from forewarn.events.config import DataConfig, InputsConfig
from forewarn.events.event import CATEGORICAL_FIELDS, CORE_FIELDS, Event, EventError
from forewarn.events.histories import HistoryStore, build_histories
from forewarn.events.history import History, make_history
from forewarn.events.quarantine import Quarantine
from forewarn.events.record import as_text, event_from_record, parse_time, record_from_event
from forewarn.events.sources import given_splits, open_histories, read_events

__all__ = [
    "CATEGORICAL_FIELDS",
    "CORE_FIELDS",
    "DataConfig",
    "Event",
    "EventError",
    "History",
    "HistoryStore",
    "InputsConfig",
    "Quarantine",
    "as_text",
    "build_histories",
    "event_from_record",
    "given_splits",
    "make_history",
    "open_histories",
    "parse_time",
    "read_events",
    "record_from_event",
]
