"""The rooms import each other as docs/architecture.md says, and the contracts that enforce it cover every room."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path


def test_every_import_rule_is_kept(repository: Path) -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run(
        [linter, "--no-cache"], cwd=repository, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_room_is_in_the_table_and_under_a_contract(repository: Path) -> None:
    rooms = {path.parent.name for path in (repository / "src" / "forewarn").glob("*/__init__.py")}
    tabled = set(
        re.findall(r"^\| `src/forewarn/(\w+)/`", (repository / "docs/architecture.md").read_text(), re.MULTILINE)
    )
    contracts = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    covered = {
        source.removeprefix("forewarn.") for contract in contracts for source in contract.get("source_modules", ())
    }
    assert rooms == tabled
    assert rooms <= covered
