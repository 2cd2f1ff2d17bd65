"""The one normalisation every text passes before it is keyed, tokenised or compared.

Only what can never carry meaning is removed: the choice between composed and decomposed characters (Unicode NFC), the
kind and amount of white space, and lone surrogates, which JSON can smuggle in and which no UTF-8 consumer accepts.
Case and accents are the tokenizer's business.
"""

from __future__ import annotations

import unicodedata

# Enters every cache key, so that a change of the rules below can never answer with a vector of the old ones.
NORMALISATION = "nfc-whitespace-1"


def normalise_text(text: str) -> str:
    """Return `text` in Unicode NFC, runs of white space made one space and both ends stripped; "" means no text.

    Idempotent, and what it returns always encodes to UTF-8.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))
    return " ".join(text.split())
