"""An encoder behind a cache: every distinct text is encoded once, ever, and a killed run goes on where it stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from forewarn.text.cache import VectorCache
from forewarn.text.encoder import Encoder, TextEncoder
from forewarn.text.normalise import normalise_text

# Texts per checkpoint: a kill costs these at most, seconds of CPU, and the length sort inside leaves little padding.
_CHUNK = 1024


class CachedEncoder:
    """An `Encoder` that asks `encoder` only for texts that `cache` does not hold.

    Keys are the SHA-256 of the encoder's hash and the normalised text.
    """

    def __init__(self, encoder: Encoder, cache: VectorCache) -> None:
        if cache.dim != encoder.dim:
            raise ValueError(
                f"text cache: found width {cache.dim}, expected the encoder's {encoder.dim}; use another folder"
            )
        self.encoder = encoder
        self.cache = cache
        self._prefix = bytes.fromhex(encoder.hash)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        cache_dir: str | Path | None = None,
        *,
        memory_vectors: int = 65_536,
        batch_tokens: int = 1024,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        threads: int = 0,
    ) -> CachedEncoder:
        """Open the exported encoder in `folder`, its vectors kept below `cache_dir` (None: in memory only)."""
        encoder = TextEncoder.open(folder, batch_tokens=batch_tokens, providers=providers, threads=threads)
        vectors = None if cache_dir is None else Path(cache_dir) / "vectors" / encoder.hash[:16]
        return cls(encoder, VectorCache(vectors, encoder.dim, memory_vectors=memory_vectors))

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return self.encoder.dim

    @property
    def hash(self) -> str:
        """The inner encoder's hash: a cache changes no vector."""
        return self.encoder.hash

    def key(self, text: str) -> bytes:
        """The cache key of a text, 32 bytes."""
        return hashlib.sha256(self._prefix + normalise_text(text).encode()).digest()

    def encode(self, texts: Sequence[str], progress: bool = False) -> np.ndarray:
        """Encode `texts` to float32 [N, dim], each distinct text once.

        Vectors reach the cache every thousand texts. `progress` draws a bar counted in distinct texts, cached ones too.
        """
        place: dict[bytes, int] = {}  # key -> row of `distinct`
        rows = np.empty(len(texts), np.int64)
        first: list[str] = []
        for i, text in enumerate(texts):
            key = self.key(text)
            rows[i] = place.setdefault(key, len(place))
            if len(first) < len(place):
                first.append(text)
        keys = list(place)
        distinct = np.empty((len(keys), self.dim), np.float32)

        self.cache.refresh()
        missing: list[int] = []
        with tqdm(total=len(keys), desc="text vectors", unit="text", disable=not progress) as bar:
            for start in range(0, len(keys), _CHUNK):
                cached = self.cache.get(keys[start : start + _CHUNK])
                for i, key in enumerate(keys[start : start + _CHUNK], start):
                    if key in cached:
                        distinct[i] = cached[key]
                    else:
                        missing.append(i)
                bar.update(len(cached))
            for start in range(0, len(missing), _CHUNK):
                chunk = missing[start : start + _CHUNK]
                vectors = self.encoder.encode([first[i] for i in chunk])
                self.cache.put([keys[i] for i in chunk], vectors)
                distinct[chunk] = vectors
                bar.update(len(chunk))
        return distinct[rows]
