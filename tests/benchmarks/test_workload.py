from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks.workload import Workload, make_workload
from forewarn.bundle import Bundle
from serving.config import ServeConfig
from serving.wire import decode


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.load(tiny_bundle)


@pytest.fixture(scope="module")
def workload(bundle: Bundle) -> Workload:
    return make_workload(bundle, 64, 10, seed=3)


def texts_of(bodies: list[bytes]) -> list[str]:
    questions = [decode(body, ServeConfig(bundle="bundle")) for body in bodies]
    return [event.text for question in questions for own in question.histories for event in own.events if event.text]


def test_histories_have_exactly_the_length_asked_for(workload: Workload) -> None:
    assert [len(history.events) for history in workload.histories] == [64] * 10
    assert [history.length for history in workload.encoded] == [64] * 10
    assert workload.facts["length"]["min"] == workload.facts["length"]["max"] == 64


def test_the_ragged_mix_has_many_lengths(bundle: Bundle) -> None:
    mix = make_workload(bundle, None, 40, seed=3)
    assert len({history.length for history in mix.encoded}) > 10


def test_the_same_seed_gives_the_same_load_and_another_seed_another(bundle: Bundle, workload: Workload) -> None:
    assert make_workload(bundle, 64, 10, seed=3).bodies(2) == workload.bodies(2)
    assert make_workload(bundle, 64, 10, seed=4).bodies(2) != workload.bodies(2)


@pytest.mark.parametrize("per_request", [1, 4, 16])
def test_the_service_reads_from_the_bodies_what_the_raw_runtime_is_given(
    per_request: int, bundle: Bundle, workload: Workload
) -> None:
    bodies = workload.bodies(per_request)
    assert len(bodies) == -(-10 // per_request)
    sent = [one for body in bodies for one in decode(body, ServeConfig(bundle="bundle")).histories]
    encoded = bundle.featurizer.encode(
        [bundle.target.visible(one) for one in sent], lambda texts: np.zeros((len(texts), bundle.featurizer.text_width))
    )
    for over_http, raw in zip(encoded, workload.encoded, strict=True):
        np.testing.assert_array_equal(over_http.categorical, raw.categorical)
        np.testing.assert_array_equal(over_http.numeric, raw.numeric)
        np.testing.assert_array_equal(over_http.position, raw.position)
        np.testing.assert_array_equal(over_http.text_index, raw.text_index)


def test_the_trajectory_is_asked_for_or_not(workload: Workload) -> None:
    for trajectory in (True, False):
        assert {msgspec.json.decode(body)["trajectory"] for body in workload.bodies(4, trajectory=trajectory)} == {
            trajectory
        }


def test_new_texts_were_in_no_body_before(workload: Workload) -> None:
    warm, first, second = (set(texts_of(workload.bodies(1, new_texts=mark))) for mark in ("", "#0", "#1"))
    assert len(texts_of(workload.bodies(1))) == len(texts_of(workload.bodies(1, new_texts="#0"))) > 0
    assert not warm & first and not warm & second and not first & second


def test_a_length_beyond_the_models_is_refused(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match=r"suite\.raw\.lengths: found 513 events, expected at most 512"):
        make_workload(bundle, 513, 1, seed=0)
