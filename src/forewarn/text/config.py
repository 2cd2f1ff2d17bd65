"""The typed configuration of the text room: which encoder, how long a text it reads, where its products are kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SOURCES = ("minilm", "huggingface", "learned", "none")
PRECISIONS = ("fp32", "fp16")
_NO_MATTER = ("batch_tokens", "cache_dir")  # settings that change no vector


@dataclass
class TextConfig:
    """Choice of text encoder; a wrong value raises a ValueError naming the field."""

    source: str = "minilm"  # minilm: the embedded package; huggingface: `model`; learned: by the network; none: unused
    model: str | None = None  # huggingface: a hub id (organisation/name) or a folder with config.json and *.safetensors
    max_tokens: int = 128  # tokens per text, special tokens included; the rest of a longer text is cut off and counted
    batch_tokens: int = 1024  # tokens per encoder batch, padding included; raise to about 65536 on a GPU
    cache_dir: str = "~/.cache/forewarn/text"  # exported encoders and text vectors; may be deleted between runs
    precision: str = "fp32"  # fp16 halves the graph and is meant for a GPU
    max_words: int = 128  # learned: words per text; the rest of a longer text is cut off and counted
    max_vocabulary: int = 30_000  # learned: words that the network knows, the most frequent first
    min_count: int = 3  # learned: times a word must occur in the training texts; rarer ones share UNK

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise ValueError(f"text.source: found {self.source!r}, expected one of {', '.join(SOURCES)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"text.precision: found {self.precision!r}, expected one of {', '.join(PRECISIONS)}")
        if self.source == "huggingface" and not self.model:
            raise ValueError(
                "text.model: found nothing, expected a hub id or a local folder for source huggingface; set it"
            )
        if self.source != "huggingface" and self.model:
            raise ValueError(
                f"text.model: found {self.model!r}, expected none for source {self.source}; use text=huggingface"
            )
        for name in ("max_words", "max_vocabulary", "min_count"):
            if getattr(self, name) < 1:
                raise ValueError(f"text.{name}: found {getattr(self, name)}, expected at least 1; raise it")
        if self.max_tokens < 8:
            raise ValueError(f"text.max_tokens: found {self.max_tokens}, expected at least 8")
        if self.batch_tokens < self.max_tokens:
            raise ValueError(
                f"text.batch_tokens: found {self.batch_tokens}, expected at least text.max_tokens ({self.max_tokens}), "
                "so that one text fits; raise it"
            )

    def deciding(self) -> dict[str, Any]:
        """The settings that decide what a text becomes, by name."""
        return {name: value for name, value in asdict(self).items() if name not in _NO_MATTER}

    @property
    def cache_folder(self) -> Path:
        """`cache_dir` with the home directory filled in."""
        return Path(self.cache_dir).expanduser()
