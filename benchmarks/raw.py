"""The raw runtime: the bundle's sequence graph on arrays that are ready, the ceiling that serving is held against.

Design choices
- The ceiling gets every advantage that costs no honesty: all cores, inputs and outputs bound where the graph runs, its
  best batch size, and spinning threads where they help. The service does not spin, because its cores decode requests.
- A cell is one workload x batch size x spinning. Histories are sorted by length before they are cut into batches.
- The text encoder is left out: distinct texts are encoded once, ever.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.config import BenchConfig
from benchmarks.statistics import summarise_each
from benchmarks.workload import Workload
from forewarn.bundle import Bundle, nodes_by_provider
from forewarn.bundle.session import open_session
from forewarn.sequence import AGGREGATES, SILENCE, EncodedHistory, collate

Feed = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Batch:
    """One graph call that is ready to run."""

    binding: ort.IOBinding
    histories: int
    real_tokens: int
    padded_tokens: int


class RawCell:
    """One setting of the raw runtime; `measure` runs it for one repeat."""

    def __init__(
        self, session: ort.InferenceSession, provider: str, workload: Workload, size: int, spinning: bool | None
    ) -> None:
        self.workload, self.size, self.spinning = workload, size, spinning
        self.name = f"{workload.name}, batches of {size}" + (", spinning" if spinning else "")
        self._session = session
        self._batches = [bind(session, provider, members) for members in batches(workload.encoded, size)]
        self._next = cycle(self._batches)
        self.repeats: list[dict[str, float]] = []

    def warm_up(self) -> None:
        """Runs every batch once, so that each shape has its memory."""
        for batch in self._batches:
            self._session.run_with_iobinding(batch.binding)

    def measure(self, seconds: float) -> dict[str, float]:
        """Adds one repeat and returns it; it goes on with the batches where the last one ended."""
        histories = tokens = calls = 0
        cpu, began = time.process_time(), time.perf_counter()
        elapsed = 0.0
        while elapsed < seconds or not calls:
            batch = next(self._next)
            self._session.run_with_iobinding(batch.binding)
            histories, tokens, calls = histories + batch.histories, tokens + batch.real_tokens, calls + 1
            elapsed = time.perf_counter() - began
        cpu = time.process_time() - cpu
        repeat = {
            "sequences_per_s": histories / elapsed,
            "events_per_s": tokens / elapsed,
            "call_ms": 1000 * elapsed / calls,
            "cpu_us_per_sequence": 1e6 * cpu / histories,
            "cpu_us_per_event": 1e6 * cpu / tokens,
        }
        self.repeats.append(repeat)
        return repeat

    def mean(self, figure: str) -> float:
        """Mean of a figure over the repeats so far."""
        return float(np.mean([repeat[figure] for repeat in self.repeats]))

    @property
    def result(self) -> dict[str, Any]:
        """What it was and what it measured; tokens are real events, padding left out."""
        padded = sum(batch.padded_tokens for batch in self._batches)
        facts = {
            "name": self.name,
            "workload": self.workload.name,
            "batch": self.size,
            "spinning": self.spinning,
            "padding_waste": round(1 - sum(batch.real_tokens for batch in self._batches) / padded, 4),
        }
        return facts | summarise_each(self.repeats)


def batches(encoded: list[EncodedHistory], size: int) -> Iterator[list[EncodedHistory]]:
    """The histories sorted by length, in batches of `size`; repeated from the front where there are too few for one."""
    ordered = list(islice(cycle(encoded), max(size, len(encoded) // size * size)))
    ordered.sort(key=lambda history: history.length)
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def bind(session: ort.InferenceSession, provider: str, histories: list[EncodedHistory]) -> Batch:
    """A batch whose inputs and outputs lie where the graph runs."""
    feed = feed_of(session, histories)
    binding = session.io_binding()
    for name, array in feed.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array, provider, 0))
    for output in session.get_outputs():
        binding.bind_output(output.name, provider)
    lengths = [history.length for history in histories]
    return Batch(binding, len(lengths), sum(lengths), len(lengths) * max(lengths))


def feed_of(session: ort.InferenceSession, histories: list[EncodedHistory]) -> Feed:
    """The graph's inputs for a batch."""
    names = [graph_input.name for graph_input in session.get_inputs()]
    arrays = collate(histories, aggregates=AGGREGATES in names, silence=SILENCE in names)
    return {name: np.ascontiguousarray(arrays[name]) for name in names}


def raw_cells(bundle: Bundle, config: BenchConfig, workloads: list[Workload]) -> list[RawCell]:
    """Every cell of the suite, warm; spinning has no meaning beyond the CPU and is not varied there."""
    spinning: list[bool | None] = [*dict.fromkeys(config.suite.raw.spinning)] if config.provider == "cpu" else [None]
    cells = []
    for spin in spinning:
        session = open_session(bundle.graph(config.precision), config.provider, config.threads, spinning=bool(spin))
        for workload in workloads:
            cells += [
                RawCell(session, config.provider, workload, size, spin)
                for size in dict.fromkeys(config.suite.raw.batch_sizes)
            ]
    for cell in cells:
        cell.warm_up()
    return cells


def placement(bundle: Bundle, config: BenchConfig, workload: Workload) -> dict[str, dict[str, int]]:
    """Nodes of the graph by provider and operator: what a GPU left to the CPU stands there by name."""
    graph = bundle.graph(config.precision)
    feed = feed_of(open_session(graph, config.provider, config.threads), workload.encoded[:1])
    return {name: dict(operators) for name, operators in nodes_by_provider(graph, config.provider, feed).items()}
