"""Texts as word ids: the featurizer's rows, and the batch that the network reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np

from forewarn.events import Event, History, InputsConfig, make_history
from forewarn.sequence import EncodedHistory, Featurizer, SequenceConfig, collate
from forewarn.text import WordCounts

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


def history(*texts: str | None) -> History:
    events = [
        Event(event_id=str(i), source="t", customer_id="c", type="turn", occurred_at=START + timedelta(minutes=i),
              ingested_at=START + timedelta(minutes=i), text=text)
        for i, text in enumerate(texts)
    ]  # fmt: skip
    return make_history("h", events)


def fitted(*histories: History, text: bool = True, max_words: int = 6) -> Featurizer:
    words = WordCounts(max_words, 100, 1)
    return Featurizer.fit(
        histories, InputsConfig(text=text), SequenceConfig(), exclude=set(), text_width=0, words=words
    )


def words_of(featurizer: Featurizer, encoded: EncodedHistory) -> list[list[str]]:
    assert featurizer.words is not None
    names = ["", "<unknown>", *featurizer.words.words]
    return [[names[i] for i in row if i] for row in encoded.text_words.tolist()]


def test_each_distinct_text_becomes_one_row_of_words_found_again_by_index() -> None:
    featurizer = fitted(history("w1 w2", "w3"))
    (encoded,) = featurizer.encode([history("w3", None, "w1 w9", "w3")])
    assert encoded.text_index.tolist() == [1, 0, 2, 1]
    assert words_of(featurizer, encoded) == [["w3"], ["w1", "<unknown>"]]
    assert encoded.text_words.shape == (2, 6) and encoded.text_vectors.shape[1] == 0


def test_a_blank_text_is_no_text() -> None:
    (encoded,) = fitted(history("w1")).encode([history("", "  ", "w1", None)])
    assert encoded.text_index.tolist() == [0, 0, 1, 0]


def test_a_text_is_read_only_where_the_data_set_says_so_and_has_some() -> None:
    for featurizer in (fitted(history("w1"), text=False), fitted(history(None, " "))):
        (encoded,) = featurizer.encode([history("w1")])
        assert featurizer.words is None and encoded.text_words.shape == (0, 0)
        assert "text_words" not in collate([encoded])


def test_a_featurizer_with_words_survives_being_written_and_read() -> None:
    featurizer = fitted(history("w1 w2", "w3"))
    again = Featurizer.from_dict(json.loads(json.dumps(featurizer.to_dict())))
    one, other = featurizer.encode([history("w2 w3")]), again.encode([history("w2 w3")])
    np.testing.assert_array_equal(one[0].text_words, other[0].text_words)


def test_a_batch_keeps_each_text_with_its_event_and_is_as_wide_as_its_longest_text() -> None:
    featurizer = fitted(history("w1 w2 w3", "w4"))
    encoded = featurizer.encode([history("w4", "w1 w2"), history(None), history(None, "w3 w2 w1")])
    batch = collate(encoded)
    assert batch["text_words"].shape == (1 + 3, 3) and batch["text_words"].dtype == np.int64
    for row, own in enumerate(encoded):
        for t, index in enumerate(own.text_index):
            if index:
                found = batch["text_words"][batch["text_index"][row, t] - 1]
                np.testing.assert_array_equal(found, own.text_words[index - 1, :3])
            else:
                assert batch["text_index"][row, t] == 0
    silent = collate([encoded[1]])
    assert silent["text_words"].shape == (1, 1), "a graph always gets one row and one column"
