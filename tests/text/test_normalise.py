from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn.text import normalise_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  where is\tmy \r\n order?  ", "where is my order?"),
        ("cafe\u0301", "caf\u00e9"),
        ("non\u00a0breaking\u2003space", "non breaking space"),
        ("UPPER and accents \u00c9", "UPPER and accents \u00c9"),
        ("\U0001f621 still waiting", "\U0001f621 still waiting"),
        ("half an emoji \ud83d", "half an emoji ?"),
        (" \t\n\u3000", ""),
        ("", ""),
    ],
)
def test_only_composition_white_space_and_lone_surrogates_change(text: str, expected: str) -> None:
    assert normalise_text(text) == expected


@given(st.text(st.characters(exclude_categories=[])))
def test_normalising_twice_changes_nothing_more_and_the_result_is_valid_utf8(text: str) -> None:
    once = normalise_text(text)
    assert normalise_text(once) == once
    once.encode("utf-8")
