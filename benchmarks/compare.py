"""`python -m benchmarks.compare before.json after.json`: what changed between two results, gated on ratios alone.

Absolute figures follow the machine and its neighbours. A ratio to the raw runtime, or of the raw runtime to the
machine's matrix product, was taken within one run and may be held against that of another day.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_GATED = ("ratio", "cpu_ratio", "share_of_ceiling")


@dataclass(frozen=True)
class Change:
    """One ratio of one row or cell in both results."""

    row: str
    ratio: str
    before: float
    after: float

    @property
    def relative(self) -> float:
        """-0.1 where a tenth of the ratio was lost."""
        return self.after / self.before - 1


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Every ratio that both results hold; ValueError when they measured different things.

    A suite with HTTP rows is judged by these; its raw cells only are their yardstick.
    """
    for name, one, other in (
        ("suite", before["suite"], after["suite"]),
        ("model.config", before["model"]["config"], after["model"]["config"]),
        ("device.precision", before["provenance"]["device"]["precision"], after["provenance"]["device"]["precision"]),
    ):
        if one != other:
            raise ValueError(f"{name}: found {one} and {other}, expected the same in both; compare results of one kind")
    kind = "http" if "http" in before and "http" in after else "raw"
    old = {row["name"]: row for row in before[kind]}
    found = [
        Change(row["name"], ratio, old[row["name"]][ratio]["mean"], row[ratio]["mean"])
        for row in after[kind]
        if row["name"] in old
        for ratio in _GATED
        if ratio in row and ratio in old[row["name"]]
    ]
    if not found:
        raise ValueError("results: found no row with a ratio in both, expected at least one; compare equal suites")
    return found


def main() -> None:
    """Prints every change; ends with code 1 when a ratio fell by more than the tolerance, 2 for unusable files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("before", type=Path, help="result file to compare with")
    parser.add_argument("after", type=Path, help="result file to judge")
    parser.add_argument("--tolerance", type=float, default=0.1, help="largest loss of a ratio, as a share of it (0.1)")
    arguments = parser.parse_args()
    try:
        before, after = (json.loads(path.read_text()) for path in (arguments.before, arguments.after))
        found = changes(before, after)
    except (OSError, ValueError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    fallen = [change for change in found if change.relative < -arguments.tolerance]
    for change in found:
        mark = "  FELL" if change in fallen else ""
        print(f"{change.relative:+7.1%}  {change.before:.3f} -> {change.after:.3f}  {change.ratio}: {change.row}{mark}")
    worst = round(min(change.relative for change in found), 4)
    print(json.dumps({"compared": len(found), "fallen": len(fallen), "worst": worst}))
    raise SystemExit(1 if fallen else 0)


if __name__ == "__main__":
    main()
