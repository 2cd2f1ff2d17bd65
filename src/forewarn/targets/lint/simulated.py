"""Trap 15, the simulator's own parameters among the inputs."""

from __future__ import annotations

from collections.abc import Iterator

from forewarn.events.simulator.customer import Truth
from forewarn.targets.lint.finding import Check, Hit, Severity
from forewarn.targets.lint.names import SIMULATION, words
from forewarn.targets.lint.table import LintTable

_TRUTH = frozenset(Truth._fields) - {"event_id"}


def _simulated(table: LintTable) -> Iterator[Hit]:
    for name, _ in table.names():
        if name in _TRUTH:
            evidence = "is a column of the simulator's truth table, the latent state that makes onsets happen"
            yield Hit(Severity.ERROR, name, evidence, {})
        elif words(name) & SIMULATION:
            yield Hit(Severity.WARNING, name, "its name says that a simulation wrote it", {})


SIMULATED = Check(
    trap=15,
    name="simulator's parameters",
    looks_at="the names of the inputs: columns of the simulator's truth, and flags of synthetic data",
    why="The world that made the labels is not there when the model is used.",
    fix="Keep the truth table apart from the events; put flags of synthetic data under exclude_inputs.",
    search=_simulated,
)
