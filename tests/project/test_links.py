"""Every link inside the documents leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path


def documents(repository: Path) -> Iterator[Path]:
    yield from repository.glob("*.md")
    yield from (repository / "docs").rglob("*.md")


def test_every_internal_link_resolves(repository: Path) -> None:
    broken = []
    for document in documents(repository):
        prose = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            path = target.split("#")[0]
            if not re.match(r"https?:|mailto:", target) and path and not (document.parent / path).exists():
                broken.append(f"{document.relative_to(repository)}: {target}")
    assert not broken, "\n".join(broken)


def test_every_decision_record_has_its_three_parts(repository: Path) -> None:
    records = sorted((repository / "docs" / "decisions").glob("*.md"))
    assert len({record.name[:4] for record in records}) == len(records), "two records share a number"
    for record in records:
        text = record.read_text()
        assert text.startswith(f"# {record.name[:4]} "), record.name
        assert all(f"**{part}.**" in text for part in ("Context", "Decision", "Consequence")), record.name
