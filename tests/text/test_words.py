"""Words of any language, and the vocabulary that training texts leave behind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn.text import WordCounts, WordVocabulary, split_words
from forewarn.text.words import PAD_WORD, UNKNOWN_WORD


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("w12 w873  W12", ["w12", "w873", "w12"]),
        ("Late AGAIN!!", ["late", "again", "!", "!"]),
        ("Жалоба: déjà vu", ["жалоба", ":", "déjà", "vu"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),  # vowel signs belong to their word
        ("안녕하세요 고객님", ["안녕하세요", "고객님"]),
        ("我的账单 late", ["我", "的", "账", "单", "late"]),  # no spaces to go by: character by character
        ("カード", ["カ", "ー", "ド"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("ok 😡", ["ok", "😡"]),
        (" \n\t", []),
    ],
)
def test_a_text_is_split_into_words_whatever_its_language(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@given(st.text())
def test_nothing_visible_is_lost_and_a_text_without_words_is_blank(text: str) -> None:
    words = split_words(text)
    assert all(word and not any(map(str.isspace, word)) for word in words)
    assert bool(words) == bool(text and not text.isspace())


def counted(*texts: str, max_words: int = 4, max_vocabulary: int = 100, min_count: int = 1) -> WordCounts:
    counts = WordCounts(max_words, max_vocabulary, min_count)
    for text in texts:
        counts.add(text)
    return counts


def test_frequent_words_come_first_and_rare_ones_are_unknown() -> None:
    vocabulary = counted("b a b", "c b a", min_count=2).vocabulary()
    assert vocabulary.words == ["b", "a"]
    assert vocabulary.encode(["a c B"]).tolist() == [[3, UNKNOWN_WORD, 2, PAD_WORD]]
    assert counted("b a b", max_vocabulary=1).vocabulary().words == ["b"]


def test_a_long_text_is_cut_and_counted() -> None:
    counts = counted("a b c d e", "a b c d", "", "  ")
    assert counts.vocabulary().encode(["a b c d e"]).shape == (1, 4)
    assert counts.facts() == {"vocabulary": 5, "texts": 2, "cut": 1, "unknown": 0.0}
    assert counted("a a b", min_count=2).facts()["unknown"] == pytest.approx(1 / 3, abs=1e-4)


def test_a_vocabulary_survives_being_written_and_read() -> None:
    fitted = counted("x y z").vocabulary()
    again = WordVocabulary(**fitted.to_dict())
    np.testing.assert_array_equal(fitted.encode(["z q"]), again.encode(["z q"]))


def test_texts_whose_words_are_all_too_rare_are_refused_with_the_fix() -> None:
    with pytest.raises(ValueError, match=r"text.min_count: found no word 3 times in 1 training texts.*lower it"):
        counted("a b", min_count=3).vocabulary()
