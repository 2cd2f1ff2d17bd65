from __future__ import annotations

from copy import deepcopy
from typing import Any

from benchmarks.table import render

Figures = dict[str, Any]


def tables(page: str) -> list[list[list[str]]]:
    """The cells of every table of a page."""
    blocks = [block for block in page.split("\n\n") if block.startswith("|")]
    return [[line.strip("|").split("|") for line in block.splitlines()] for block in blocks]


def test_every_table_is_rectangular(result: Figures) -> None:
    for table in tables(render(result)):
        assert len({len(row) for row in table}) == 1


def test_the_page_names_commit_machine_versions_and_that_the_weights_are_untrained(result: Figures) -> None:
    page, own = render(result), result["provenance"]
    for expected in (
        own["commit"][:12],
        own["time"],
        own["host"]["processor"],
        own["versions"]["onnxruntime"],
        own["command"],
    ):
        assert expected in page
    assert "untrained" in page
    result["model"]["trained"] = True
    assert "untrained" not in render(result)


def test_the_best_raw_cell_and_the_ratios_stand_out(result: Figures) -> None:
    page = render(result)
    assert "**300 [300, 300]**" in page
    assert "**200" not in page
    assert "**0.80 [0.72, 0.88]**" in page


def test_errors_are_shown_by_status(result: Figures) -> None:
    assert "7 x 503" not in render(result)
    result["http"][0]["statuses"] = {"200": 300, "503": 7}
    assert "7 x 503" in render(result)


def test_what_several_replicas_do_not_tell_is_left_empty(result: Figures) -> None:
    del result["http"][0]["mean_batch"]
    costs = tables(render(result))[-1]
    assert [cell.strip() for cell in costs[2][-6:]] == ["-"] * 6
    assert len(costs[2]) == len(costs[0])


def test_a_raw_result_has_no_http_tables(result: Figures) -> None:
    raw = deepcopy(result)
    for name in ("http", "service", "ceiling"):
        del raw[name]
    for cell in raw["raw"]:
        del cell["share_of_ceiling"]
    page = render(raw)
    assert "HTTP" not in page and "matrix product" not in page
    assert len(tables(page)) == 2


def test_nodes_that_a_gpu_left_to_the_cpu_are_named(result: Figures) -> None:
    result["placement"] = {"CUDAExecutionProvider": {"MatMul": 40}, "CPUExecutionProvider": {"Gather": 2}}
    assert "CPU 2 (Gather 2); CUDA 40" in render(result)
