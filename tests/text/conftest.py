"""The embedded MiniLM, exported once for the whole room."""

from __future__ import annotations

from pathlib import Path

import pytest

from forewarn.text import TextConfig, TextEncoder
from training.text_export import export_text_encoder


@pytest.fixture(scope="session")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> TextConfig:
    """The default configuration with a cache of its own."""
    return TextConfig(cache_dir=str(tmp_path_factory.mktemp("text-cache")))


@pytest.fixture(scope="session")
def minilm_folder(minilm: TextConfig) -> Path:
    folder = export_text_encoder(minilm)
    assert folder is not None
    return folder


@pytest.fixture(scope="session")
def encoder(minilm_folder: Path) -> TextEncoder:
    return TextEncoder.open(minilm_folder)
