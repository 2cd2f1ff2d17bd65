"""What the event tests share: a data root of small files in the shape of the public data sets."""

from __future__ import annotations

import gzip
import shutil
import zipfile
from pathlib import Path

import pytest
from hypothesis import settings

# On shared cores a slow example says nothing about the code.
settings.register_profile("shared cores", deadline=None)
settings.load_profile("shared cores")

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of hand-made files."""
    return FIXTURES


@pytest.fixture(scope="session")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixtures packed as the public files are: a zip, and gzip beside it."""
    root = tmp_path_factory.mktemp("data")
    shutil.copytree(FIXTURES, root, dirs_exist_ok=True)
    log = root / "uci_servicenow" / "incident_event_log.csv"
    with zipfile.ZipFile(log.with_suffix(".zip"), "w") as archive:
        archive.write(log, log.name)
    for path in (root / "helpdesk" / "Helpdesk_skyocean.csv", root / "uss" / "MWOZ.txt", root / "uss" / "SGD.txt"):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    return root
