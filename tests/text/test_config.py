from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from forewarn.text import TextConfig

CONF = Path(__file__).resolve().parents[2] / "conf" / "text"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"source": "word2vec"}, "text.source"),
        ({"source": "huggingface"}, "text.model"),
        ({"source": "minilm", "model": "some/encoder"}, "text.model"),
        ({"precision": "int8"}, "text.precision"),
        ({"max_tokens": 2}, "text.max_tokens"),
        ({"source": "learned", "max_words": 0}, "text.max_words"),
        ({"source": "learned", "model": "some/encoder"}, "text.model"),
        ({"max_tokens": 512, "batch_tokens": 128}, "text.batch_tokens"),
    ],
)
def test_a_wrong_value_is_refused_by_field_with_what_was_found_and_expected(
    wrong: dict[str, object], field: str
) -> None:
    with pytest.raises(ValueError, match=rf"{field}: found .*expected"):
        TextConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["minilm", "huggingface", "learned", "none"])
def test_every_file_of_the_group_is_a_text_config(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_CACHE", "somewhere")
    overrides = ["model=organisation/encoder"] if name == "huggingface" else []
    with initialize_config_dir(str(CONF), version_base=None):
        group = compose(name, overrides)
    cfg = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(TextConfig), group))
    assert isinstance(cfg, TextConfig)
    assert cfg.source == name
    if name == "minilm":
        assert cfg == TextConfig(cache_dir="somewhere/text")


def test_the_home_directory_is_filled_in() -> None:
    assert TextConfig().cache_folder.is_relative_to(Path.home())
