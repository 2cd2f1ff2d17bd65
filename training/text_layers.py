"""A text encoder of which the last layers learn, and whose layers below are computed once per text.

Design choices
- Texts go by number, so that the encoded data set can hold them where it otherwise holds their vectors: everything
  from labels to batches is the code of an ordinary run.
- The layers below those that learn never change, so what they say of a text is computed once and kept on disk in fp16;
  an epoch costs the upper layers alone. Their forward is the network's own: the lower layers are asked for nothing
  and hand on what was kept, whatever masks or positions an architecture passes along.
- Tokenizer, pooling and length are those of the export, whose graph must later compute the same vectors.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from tqdm import tqdm

from forewarn.sequence import TokenBudgetBatches
from forewarn.text import TextConfig, normalise_text
from training.lora import add_lora, merge_lora
from training.text_export import write_tokenizer
from training.text_graph import PooledEncoder, load_text_network, quiet

EXACT = 2**24  # whole numbers up to here are exact in float32


class TextNumbers:
    """An `Encoder` whose vector [1] of a text is its number: 0 without content, else its place from 1 in `texts`."""

    dim = 1

    def __init__(self, encoder: str, texts: Sequence[str] = ()) -> None:
        self.hash = f"numbers of {encoder}"
        self._number = {text: i for i, text in enumerate(texts, 1)}

    @property
    def texts(self) -> list[str]:
        """The distinct texts in the order of their numbers, normalised."""
        return list(self._number)

    def encode(self, texts: Sequence[str], progress: bool = False) -> NDArray[np.float32]:
        """Numbers as float32 [N, 1]; new texts get the next ones."""
        normalised = [normalise_text(text) for text in texts]
        numbers = [self._number.setdefault(text, len(self._number) + 1) if text else 0 for text in normalised]
        if len(self._number) > EXACT:
            raise ValueError(
                f"data: found more than {EXACT} distinct texts to fine-tune on, expected fewer; use a part of the data"
            )
        return np.array(numbers, np.float32).reshape(-1, 1)


class TunedEncoder(nn.Module):
    """Numbers of texts [V] to their vectors [V, E] of length one; the last `layers` of the network learn.

    Only those layers are registered, so a checkpoint holds nothing that never changes.
    """

    def __init__(
        self, source: Path, text: TextConfig, texts: Sequence[str], layers: int, rank: int, work: Path
    ) -> None:
        super().__init__()
        network = load_text_network(source).requires_grad_(False).eval()
        blocks = transformer_layers(network)
        if not 1 <= layers <= len(blocks):
            raise ValueError(f"layers: found {layers}, expected 1 to {len(blocks)}, which this encoder has")
        self.width = int(network.config.hidden_size)
        self.upper = nn.ModuleList(blocks[-layers:])
        for layer in self.upper:
            if rank:
                add_lora(layer, rank)
            else:
                layer.requires_grad_(True)
        self.budget = text.batch_tokens
        work.mkdir(parents=True, exist_ok=True)
        pad_id = write_tokenizer(source, text.max_tokens, work / "tokenizer.json")
        self.tokens = _Tokens(work / "tokenizer.json", pad_id, texts)
        # A tuple hides the whole network from the registration of submodules; the layers above are the same objects.
        self._whole = (PooledEncoder(network).eval(),)
        self.upper.train()  # Lightning leaves every module in the mode it finds it in
        self._lower = _Lower(blocks, len(blocks) - layers)

    @property
    def _encoder(self) -> PooledEncoder:
        return self._whole[0]

    @torch.no_grad()
    def keep_lower(self, path: Path, device: torch.device) -> None:
        """Computes what the lower layers say of every text, once, into a file of fp16 [tokens, E]."""
        self._encoder.to(device)
        if not self._lower.count:
            return
        kept = np.memmap(path, np.float16, "w+", shape=(max(int(self.tokens.stops[-1]), 1), self.width))
        with tqdm(
            total=len(self.tokens.lengths), desc="lower layers", unit=" texts", disable=not sys.stderr.isatty()
        ) as bar:
            for numbers in self._batches(np.arange(1, len(self.tokens.lengths) + 1)):
                ids, mask = (array.to(device) for array in self.tokens.padded(numbers))
                self._encoder(ids, mask)
                hidden = self._lower.seen.cpu().numpy()
                for row, number in zip(hidden, numbers, strict=True):
                    kept[self.tokens.rows(number)] = row[: self.tokens.lengths[number - 1]]
                bar.update(len(numbers))
        if not np.isfinite(kept).all():
            raise ValueError(
                "layers: found an encoder whose inner values are beyond fp16, expected smaller ones; let all layers "
                "learn"
            )
        self.tokens.kept = kept

    def forward(self, numbers_V: Tensor) -> Tensor:
        numbers, device = numbers_V.cpu().numpy(), numbers_V.device
        batches = list(self._batches(numbers))
        if not batches:
            return torch.zeros(0, self.width, device=device)
        vectors = torch.cat([self._vectors(batch, device) for batch in batches])
        # The batches are the sorted numbers; back to the order that was asked for.
        place = {number: i for i, number in enumerate(np.concatenate(batches).tolist())}
        return vectors[torch.tensor([place[number] for number in numbers.tolist()], device=device)]

    def _batches(self, numbers: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """The numbers by length, as many at once as the token budget allows."""
        for rows in TokenBudgetBatches(self.tokens.lengths[numbers - 1], self.budget, shuffle=False).batches():
            yield numbers[rows]

    def _vectors(self, numbers: NDArray[np.int64], device: torch.device) -> Tensor:
        ids, mask = (array.to(device) for array in self.tokens.padded(numbers))
        if (kept := self.tokens.kept) is not None:
            hidden_VTE = np.zeros((*ids.shape, self.width), np.float32)
            for row, number in zip(hidden_VTE, numbers, strict=True):
                row[: self.tokens.lengths[number - 1]] = kept[self.tokens.rows(number)]
            self._lower.given = torch.from_numpy(hidden_VTE).to(device)
        vectors: Tensor = self._encoder(ids, mask)
        return vectors

    def save(self, folder: Path) -> None:
        """Writes the whole network as `save_pretrained` does, adapters merged; it trains no further."""
        merge_lora(self.upper)
        self._lower.remove()
        network: Any = self._encoder.network.cpu()
        with quiet():
            network.save_pretrained(folder)


class _Tokens:
    """Token ids of all texts, one after the other; text number n (from 1) is rows `starts[n-1]` to `stops[n-1]`."""

    def __init__(self, tokenizer_path: Path, pad_id: int, texts: Sequence[str]) -> None:
        tokenizer = Tokenizer.from_file(str(tokenizer_path))
        tokenizer.no_padding()
        ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]
        self.lengths = np.array([len(own) for own in ids], np.int64)
        self.stops = np.cumsum(self.lengths)
        self.ids = np.concatenate([np.array(own, np.int64) for own in ids])
        self.pad_id = pad_id
        self.kept: NDArray[np.float16] | None = None  # what the lower layers say of every token [tokens, E]

    def __deepcopy__(self, _: Any) -> _Tokens:
        return self  # the copy of a model that averages its weights must not bring all texts into memory

    def rows(self, number: int) -> slice:
        stop = int(self.stops[number - 1])
        return slice(stop - int(self.lengths[number - 1]), stop)

    def padded(self, numbers: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Token ids and mask int64 [V, T]."""
        lengths = self.lengths[numbers - 1]
        ids = np.full((len(numbers), int(lengths.max())), self.pad_id, np.int64)
        for row, number in zip(ids, numbers, strict=True):
            row[: self.lengths[number - 1]] = self.ids[self.rows(number)]
        mask = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)
        return torch.from_numpy(ids), torch.from_numpy(mask)


class _Lower:
    """The first `count` layers: computed while nothing is `given`, else skipped in favour of that; `seen` is the last
    output computed."""

    def __init__(self, blocks: nn.ModuleList, count: int) -> None:
        self.blocks, self.count = blocks, count
        self.given: Tensor | None = None
        self.seen: Tensor
        for i in range(count):
            blocks[i] = _LowerLayer(blocks[i], self)

    def remove(self) -> None:
        """Puts the layers themselves back."""
        for i in range(self.count):
            wrapped = self.blocks[i]
            assert isinstance(wrapped, _LowerLayer)
            self.blocks[i] = wrapped.layer


class _LowerLayer(nn.Module):
    """One lower layer, answering as the layer does: a tensor, or a tuple that starts with it."""

    def __init__(self, layer: nn.Module, lower: _Lower) -> None:
        super().__init__()
        self.layer, self.lower, self.tuple = layer, lower, False

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self.lower.given is not None:
            return (self.lower.given,) if self.tuple else self.lower.given
        output = self.layer(*args, **kwargs)
        self.tuple = isinstance(output, tuple)
        self.lower.seen = output[0] if self.tuple else output
        return output

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:  # what a network asks its layers about themselves, such as the kind of their attention
            return getattr(super().__getattr__("layer"), name)


def transformer_layers(network: nn.Module) -> nn.ModuleList:
    """The list of a network's transformer layers; ValueError where it has none of the configured length."""
    count = getattr(network.config, "num_hidden_layers", None)
    for module in network.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise ValueError(
        f"text.model: found no list of {count} transformer layers in a {type(network).__name__}, expected one; "
        "use an encoder of another architecture"
    )
