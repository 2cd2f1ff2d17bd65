"""What no file of the project may contain: where one machine keeps things, and where packages come from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOMS = (".ci", "benchmarks", "conf", "constraints", "docs", "serving", "src", "tests", "training")
BINARY = {".gz", ".zip", ".parquet", ".onnx", ".png", ".pyc"}

FORBIDDEN = {
    "where packages come from": r"index-url|find-links|//[\w.-]*(?:pypi|pythonhosted|npmjs|download\.pytorch)\.",
    "a folder of one machine": r"""(?:^|[\s"'=(`])/(?:work|root|opt|home)/\w""",
    "a local build of torch": r"torch==[\d.]+\+",
    "unfinished work": r"\b(?:TODO|FIXME|XXX)\b|NotImplementedError",
}


def project_files(repository: Path) -> Iterator[Path]:
    yield from (path for path in repository.iterdir() if path.is_file() and not path.name.endswith(".db"))
    for room in ROOMS:
        for path in (repository / room).rglob("*"):
            if path.is_file() and path.suffix not in BINARY and path != Path(__file__):  # this file holds the patterns
                yield path


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what: str, repository: Path) -> None:
    pattern = re.compile(FORBIDDEN[what], re.MULTILINE)
    found = [
        f"{path.relative_to(repository)}:{number}: {line.strip()[:120]}"
        for path in project_files(repository)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, "\n".join(found)
