"""Pre-training on one target, fine-tuning on another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from training.config import compose
from training.fit import fit, load_network
from training.prepare import Prepared, prepare
from training.target import load_target


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory, small: list[str]) -> Path:
    run = tmp_path_factory.mktemp("earlier")
    config = compose(*small, "target=next_event", f"run={run}")
    fit(config, prepare(config, load_target(config), run / "data"), run)
    return run


def test_fine_tuning_starts_from_the_vocabularies_and_the_body_of_the_earlier_run(
    earlier: Path, tmp_path: Path, small: list[str]
) -> None:
    config = compose(*small, f"pretrained={earlier}", "optim.learning_rate=0", "optim.ema=0", f"run={tmp_path}")
    prepared = prepare(config, load_target(config), tmp_path / "data")
    assert prepared.featurizer.to_dict() == Prepared.load(earlier / "data" / "encoded").featurizer.to_dict()
    own, before = fit(config, prepared, tmp_path).model.state_dict(), load_network(earlier).state_dict()
    for name, tensor in own.items():
        if not name.startswith("heads."):
            assert torch.equal(tensor, before[name]), name


def test_words_that_the_earlier_run_has_learned_are_not_counted_again(tmp_path: Path, small: list[str]) -> None:
    words = (*small, "text=learned", "measure=false", "text.min_count=1")
    config = compose(*words, f"run={tmp_path / 'first'}")
    first = prepare(config, load_target(config), tmp_path / "first" / "data")
    config = compose(*words, f"pretrained={tmp_path / 'first'}", f"run={tmp_path / 'second'}")
    second = prepare(config, load_target(config), tmp_path / "second" / "data")
    known, again = first.featurizer.words, second.featurizer.words
    assert known is not None and again is not None and again.words == known.words
    assert "words" in first.facts and "words" not in second.facts


def test_another_shape_is_refused_by_name(earlier: Path, tmp_path: Path, small: list[str]) -> None:
    config = compose(*small, f"pretrained={earlier}", "model.width=32", f"run={tmp_path}")
    with pytest.raises(ValueError, match=r"pretrained: found a network of another shape .* width=32 \(there 64\)"):
        fit(config, prepare(config, load_target(config), tmp_path / "data"), tmp_path)


def test_an_earlier_run_that_read_the_evidence_is_refused(earlier: Path, tmp_path: Path, small: list[str]) -> None:
    target = tmp_path / "target.yaml"
    target.write_text(
        "name: calls\ncomplete: false\ntasks:\n"
        "  - {name: calls, kind: hazard, onset: {when: {field: channel, equals: phone}}, horizons: [7d]}\n"
    )
    config = compose(*small, f"pretrained={earlier}", f"target={target}", f"run={tmp_path}")
    with pytest.raises(ValueError, match=r"pretrained: found inputs channel .*data\.inputs\.exclude=\[channel\]"):
        prepare(config, load_target(config), tmp_path / "data")
