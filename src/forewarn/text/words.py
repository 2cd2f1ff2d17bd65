"""Words of any language as ids of a vocabulary fitted on training texts, for a text encoder that the network learns.

Design choices
- A word is a run of letters, digits and the marks that belong to them; any other visible character is a word of its
  own, for "???" and an emoji say something too.
- Scripts that put no spaces between words (Chinese, Japanese, Thai, Lao, Burmese, Khmer) are read character by
  character; the network sees neighbouring words together, which gives it their pairs and triples.
- Case is folded. Nothing else is known of any language, so opaque tokens (``w12 w873``) are as good as English.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewarn.text.normalise import normalise_text

PAD_WORD, UNKNOWN_WORD, RESERVED_WORDS = 0, 1, 2

_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"  # kana, Han
)
# Vowel signs and accents that Python's \w leaves out, though a word of Hindi or Tamil is not one without them.
_MARKS = "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code)).startswith("M"))
_WORD = re.compile(rf"[^\W{_SPACELESS}]+(?:[{_MARKS}]+[^\W{_SPACELESS}]*)*|[{_SPACELESS}][{_MARKS}]*|\S")


def split_words(text: str) -> list[str]:
    """The words of a text in order, normalised and in lower case; [] where there is nothing but white space."""
    return _WORD.findall(normalise_text(text).lower())


class WordVocabulary:
    """Ids of the words seen in training; `WordCounts` fits one."""

    def __init__(self, words: Sequence[str], max_words: int) -> None:
        self.words, self.max_words = list(words), max_words
        self._ids = {word: i for i, word in enumerate(self.words, start=RESERVED_WORDS)}

    def __len__(self) -> int:
        return RESERVED_WORDS + len(self.words)

    def to_dict(self) -> dict[str, Any]:
        """The arguments that make it again, as plain JSON values."""
        return {"words": self.words, "max_words": self.max_words}

    def encode(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Word ids int32 [U, max_words], padded on the right; the words of a longer text beyond them are cut off."""
        encoded = np.zeros((len(texts), self.max_words), dtype=np.int32)
        for row, text in zip(encoded, texts, strict=True):
            ids = [self._ids.get(word, UNKNOWN_WORD) for word in split_words(text)[: self.max_words]]
            row[: len(ids)] = ids
        return encoded


class WordCounts:
    """Counts the words of the training texts, one text of an event after the other, and makes them a vocabulary.

    The vocabulary holds the `max_vocabulary` most frequent words that were seen at least `min_count` times (ties by
    word, so that fits are repeatable).
    """

    def __init__(self, max_words: int, max_vocabulary: int, min_count: int) -> None:
        self.max_words, self.max_vocabulary, self.min_count = max_words, max_vocabulary, min_count
        self.words: Counter[str] = Counter()
        self.texts = self.cut = 0  # texts counted, and those of them longer than `max_words`

    def add(self, text: str) -> None:
        """Counts the words of one text."""
        words = split_words(text)
        self.words.update(words)
        self.texts += bool(words)
        self.cut += len(words) > self.max_words

    def vocabulary(self) -> WordVocabulary:
        """The vocabulary of the texts so far; ValueError when no word was seen often enough."""
        ranked = sorted(self.words.items(), key=lambda item: (-item[1], item[0]))
        kept = [word for word, count in ranked[: self.max_vocabulary] if count >= self.min_count]
        if not kept:
            raise ValueError(
                f"text.min_count: found no word {self.min_count} times in {self.texts} training texts, expected some; "
                "lower it, or use text=none"
            )
        return WordVocabulary(kept, self.max_words)

    def facts(self) -> dict[str, float]:
        """Size of the vocabulary, training texts, texts cut, and the share of their words that stay unknown."""
        known = self.vocabulary().words
        unknown = 1 - sum(self.words[word] for word in known) / self.words.total()
        return {"vocabulary": len(known), "texts": self.texts, "cut": self.cut, "unknown": round(unknown, 4)}
