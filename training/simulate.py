"""`python -m training.simulate`: writes the events of a simulated support operation as a table, the truth beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
import polars as pl
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig
from tqdm import tqdm

from forewarn.events import DataConfig, Event
from forewarn.events.simulator import SimulatorOptions, Story, Truth, stories
from forewarn.events.writing import write_events
from training.command import run_command
from training.config import typed


@dataclass
class SimulateConfig:
    """`python -m training.simulate`: which world, and where its table goes."""

    data: DataConfig = field(default_factory=DataConfig)
    out: str = "events.parquet"  # .parquet, .jsonl or .jsonl.gz; the truth goes to <name>.truth.parquet beside it


ConfigStore.instance().store(name="simulate_schema", node=SimulateConfig)


@hydra.main(version_base=None, config_path="../conf", config_name="simulate")
def main(config: DictConfig) -> None:
    """The command line."""
    run_command(lambda composed: simulate_table(typed(composed, SimulateConfig)), config)


def simulate_table(config: SimulateConfig) -> dict[str, Any]:
    """Write the event table and the truth table; returns the files and how much they hold.

    The truth is kept apart from the events, so that no reader can ever take it for an input.
    """
    options = SimulatorOptions.from_options(config.data.check())
    out = Path(config.out)
    truth = _Truth()
    told = tqdm(stories(options), total=options.customers, desc="customers", unit=" customers", delay=1)
    events = write_events(truth.watch(told), out)
    truth_file = out.with_name(f"{out.name.split('.')[0]}.truth.parquet")
    truth.write(truth_file)
    return {
        "folder": out.parent,
        "events_file": out,
        "truth_file": truth_file,
        "customers": options.customers,
        "events": events,
        "onsets": truth.onsets,
        "escalated_share": round(truth.escalated / options.customers, 4),
    }


class _Truth:
    """Collects the latent state behind the events while these are written."""

    def __init__(self) -> None:
        self.onsets = 0
        self.escalated = 0
        self._rows: list[Truth] = []

    def watch(self, told: Iterable[Story]) -> Iterator[Event]:
        """Yield the events of the stories."""
        for story in told:
            onsets = sum(event.type == "escalation.onset" for event in story.events)
            self.onsets += onsets
            self.escalated += onsets > 0
            self._rows += story.truth
            yield from story.events

    def write(self, path: Path) -> None:
        """Write one row per event with the fields of Truth."""
        pl.DataFrame(self._rows, schema=list(Truth._fields), orient="row").write_parquet(path)


if __name__ == "__main__":
    main()
