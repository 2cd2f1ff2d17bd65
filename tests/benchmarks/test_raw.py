from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.ceiling import MatrixProduct, flop_per_event
from benchmarks.config import BenchConfig, RawConfig, SuiteConfig
from benchmarks.raw import batches, bind, placement, raw_cells
from benchmarks.suite import best_cell
from benchmarks.workload import make_workload
from forewarn.bundle import Bundle, Scorer
from forewarn.model import HeadSpec, InputShapes, ModelConfig, SequenceModel


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.load(tiny_bundle)


def test_batches_hold_every_history_sorted_by_length(bundle: Bundle) -> None:
    encoded = make_workload(bundle, None, 24, seed=1).encoded
    cut = list(batches(encoded, 8))
    assert [len(batch) for batch in cut] == [8, 8, 8]
    lengths = [history.length for batch in cut for history in batch]
    assert lengths == sorted(history.length for history in encoded)


def test_a_batch_larger_than_the_pool_repeats_it(bundle: Bundle) -> None:
    (batch,) = batches(make_workload(bundle, 16, 3, seed=1).encoded, 8)
    assert len(batch) == 8


def test_a_bound_batch_gives_the_scorers_answer(bundle: Bundle) -> None:
    histories = make_workload(bundle, None, 5, seed=1).encoded
    scorer = Scorer(bundle)
    batch = bind(scorer.session, "cpu", histories)
    scorer.session.run_with_iobinding(batch.binding)
    bound = batch.binding.copy_outputs_to_cpu()
    for row, (scores, history) in enumerate(zip(scorer.run(histories), histories, strict=True)):
        for task, output in zip(scorer.tasks, bound, strict=True):
            np.testing.assert_allclose(output[row, : history.length], scores[task.name], atol=1e-5)
    assert batch.real_tokens == sum(history.length for history in histories) <= batch.padded_tokens


def test_cells_cover_the_grid_and_their_figures_agree(bundle: Bundle) -> None:
    raw = RawConfig(lengths=[16], ragged=True, batch_sizes=[1, 4], spinning=[False, True])
    config = BenchConfig(suite=SuiteConfig(raw=raw))
    workloads = [make_workload(bundle, events, 8, seed=0) for events in config.suite.workloads]
    cells = raw_cells(bundle, config, workloads)
    assert len({cell.name for cell in cells}) == 8
    for cell in cells:
        for _ in range(3):
            cell.measure(0.01)
        figures = cell.result
        assert figures["sequences_per_s"]["min"] > 0
        assert len(figures["sequences_per_s"]["values"]) == 3
        if figures["workload"] == "16 events":
            assert figures["padding_waste"] == 0
            assert figures["events_per_s"]["mean"] == pytest.approx(16 * figures["sequences_per_s"]["mean"], rel=1e-3)
    best = best_cell(cells, "16 events")
    assert best.mean("events_per_s") == max(c.mean("events_per_s") for c in cells if c.workload.events == 16)


def test_every_node_of_the_graph_is_placed(bundle: Bundle) -> None:
    placed = placement(bundle, BenchConfig(), make_workload(bundle, 16, 1, seed=0))
    assert set(placed) == {"CPUExecutionProvider"}
    assert sum(placed["CPUExecutionProvider"].values()) > 10


def test_the_matrix_product_is_a_limit_above_zero() -> None:
    product = MatrixProduct("cpu", "fp32", 0)
    product.measure(0.1)
    assert product.result["gflop_per_s"]["mean"] > 0
    assert product.result["precision"] == "fp32"


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_the_arithmetic_per_event_is_what_torch_counts(kv_heads: int) -> None:
    config = ModelConfig(width=64, layers=3, heads=4, kv_heads=kv_heads, mlp_width=176)
    model = SequenceModel(config, InputShapes((5,), 2), [HeadSpec("risk", "hazard", 3)]).eval()
    # One event: there the attention that torch counts, in its plain kernel alone, is the causal one.
    with FlopCounterMode(display=False) as counted, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        model.backbone(torch.zeros(1, 1, 64), torch.zeros(1, 1))
    assert flop_per_event(vars(config), 1) == counted.get_total_flops()
    assert flop_per_event(vars(config), 65) - flop_per_event(vars(config), 1) == 3 * 4 * 64 * 32
