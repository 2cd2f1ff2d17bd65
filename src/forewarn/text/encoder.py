"""Text to vector with `tokenizers` and ONNX Runtime, without torch.

Design choices:
- An encoder is three files in one folder: text.onnx (tokens to pooled, L2-normalised vectors), tokenizer.json,
  text.json (facts for people and checks).
- The session is made at first use: opening an encoder whose vectors are all cached costs nothing.
- Batches are cut by padded tokens after sorting by length, so a batch of short texts is large, one of long texts is
  small, and little is padding.
- A text without content (empty, white space) is the zero vector and never reaches the network; the sequence model has
  a learned "no text" vector for it.
- Whatever else turns texts into vectors (a learned encoder, a service) only has to be an `Encoder`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NoReturn, Protocol

import numpy as np
import onnxruntime
from tokenizers import Tokenizer
from tqdm import tqdm

from forewarn.text.normalise import NORMALISATION, normalise_text

GRAPH_FILE = "text.onnx"
TOKENIZER_FILE = "tokenizer.json"
FACTS_FILE = "text.json"

# Texts tokenised at once: bounds memory, and is long enough for the length sort to leave almost no padding.
_WINDOW = 4096


class Encoder(Protocol):
    """Anything that turns texts into vectors; `hash` changes whenever its vectors would."""

    @property
    def dim(self) -> int:
        """Width of a vector."""

    @property
    def hash(self) -> str:
        """Names the vectors, in hexadecimal."""

    def encode(self, texts: Sequence[str], progress: bool = False) -> np.ndarray:
        """Encode `texts` to float32 [N, dim]."""


class TextEncoder:
    """A pre-trained text encoder: texts to float32 vectors [N, dim] of length one.

    `counts` sums over all calls: texts, truncated (texts cut at `max_tokens`), tokens (real ones) and padding.
    Calls from several threads are safe.
    """

    def __init__(
        self,
        onnx_path: str | Path,
        tokenizer_path: str | Path,
        *,
        max_tokens: int = 128,
        batch_tokens: int = 1024,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        threads: int = 0,
        dim: int | None = None,
    ) -> None:
        self.onnx_path = Path(onnx_path)
        self.tokenizer_path = Path(tokenizer_path)
        _require(self.onnx_path)
        _require(self.tokenizer_path)
        self.max_tokens = max_tokens
        self.batch_tokens = batch_tokens
        self.providers = list(providers)
        self.threads = threads
        self.counts: Counter[str] = Counter()
        self._dim = dim

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        batch_tokens: int = 1024,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        threads: int = 0,
    ) -> TextEncoder:
        """Open an exported folder, `max_tokens` and `dim` from its text.json; ValueError names a missing file."""
        folder = Path(folder)
        known = json.loads(_require(folder / FACTS_FILE).read_text("utf-8"))
        return cls(
            folder / GRAPH_FILE,
            folder / TOKENIZER_FILE,
            max_tokens=known["max_tokens"],
            batch_tokens=batch_tokens,
            providers=providers,
            threads=threads,
            dim=known["dim"],
        )

    @cached_property
    def hash(self) -> str:
        """SHA-256 over everything that decides a vector: graph, tokenizer, length limit, normalisation."""
        digest = hashlib.sha256(f"{NORMALISATION} {self.max_tokens}".encode())
        for path in (self.onnx_path, self.tokenizer_path):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    @property
    def dim(self) -> int:
        """Width of a vector; read from the graph unless given."""
        if self._dim is None:
            self._dim = int(self._session.get_outputs()[0].shape[1])
        return self._dim

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        # Idle threads that spin would take the cores from whatever runs beside, the sequence model above all.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(self.onnx_path, options, providers=self.providers)

    @cached_property
    def _tokenizer(self) -> tuple[Tokenizer, int]:
        """The tokenizer, cutting at `max_tokens` and not padding, and the id to pad with."""
        tokenizer = Tokenizer.from_file(str(self.tokenizer_path))
        pad_id = tokenizer.padding["pad_id"] if tokenizer.padding else 0
        tokenizer.no_padding()  # a file that pads to a fixed length would undo the length buckets
        tokenizer.enable_truncation(self.max_tokens)
        return tokenizer, pad_id

    def encode(self, texts: Sequence[str], progress: bool = False) -> np.ndarray:
        """Encode `texts` in any order and number to float32 [N, dim]; `progress` draws a bar counted in texts.

        A text's vector does not depend on its neighbours beyond float rounding (1e-5).
        """
        vectors = np.zeros((len(texts), self.dim), np.float32)
        with tqdm(total=len(texts), desc="text vectors", unit="text", disable=not progress) as bar:
            for start in range(0, len(texts), _WINDOW):
                window = slice(start, start + _WINDOW)
                self._encode_window(texts[window], vectors[window], bar)
        return vectors

    def _encode_window(self, texts: Sequence[str], vectors: np.ndarray, bar: tqdm[NoReturn]) -> None:
        ids, pad_id = self._tokenise(texts)
        lengths = np.array([len(row) for row in ids])
        self.counts["texts"] += len(texts)
        for rows in _batches(lengths, self.batch_tokens):
            width = lengths[rows].max()
            if width > 0:
                input_ids = np.full((len(rows), width), pad_id, np.int64)
                for place, row in enumerate(rows):
                    input_ids[place, : lengths[row]] = ids[row]
                mask = (np.arange(width) < lengths[rows, None]).astype(np.int64)
                (vectors[rows],) = self._session.run(None, {"input_ids": input_ids, "attention_mask": mask})
                self.counts["tokens"] += int(lengths[rows].sum())
                self.counts["padding"] += int(mask.size - lengths[rows].sum())
            bar.update(len(rows))

    def _tokenise(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """Token ids per text, at most `max_tokens` of them and none where there is no text; the id to pad with."""
        tokenizer, pad_id = self._tokenizer
        normalised = [normalise_text(text) for text in texts]
        encodings = tokenizer.encode_batch_fast(normalised)
        # `overflowing` copies what was cut off, so it is asked for only where something can have been.
        self.counts["truncated"] += sum(len(e) == self.max_tokens and bool(e.overflowing) for e in encodings)
        return [encoding.ids if text else [] for text, encoding in zip(normalised, encodings, strict=True)], pad_id


def _require(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(
            f"text encoder: found no {path}, expected an exported encoder; run the export or check the bundle"
        )
    return path


def _batches(lengths: np.ndarray, batch_tokens: int) -> Iterator[np.ndarray]:
    """Indices of texts of similar length, at most `batch_tokens` padded tokens a batch but one text at least.

    Texts without tokens come first and together.
    """
    order = np.argsort(lengths, kind="stable")
    start = int(np.searchsorted(lengths[order], 1))
    if start:
        yield order[:start]
    for end in range(start + 1, len(order) + 1):
        # Sorted by length: the next text is the longest of the batch and sets its padded width.
        if end == len(order) or (end + 1 - start) * lengths[order[end]] > batch_tokens:
            yield order[start:end]
            start = end
