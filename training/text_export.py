"""A pre-trained text encoder from its published weights to the folder that `forewarn.text.TextEncoder` opens.

Finished exports are kept by the hash of everything that went in, written to a temporary folder and renamed, so a
second run only copies and a killed one leaves nothing that could be taken for an encoder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tokenizers import Tokenizer

from forewarn.text import CachedEncoder, TextConfig
from forewarn.text.encoder import FACTS_FILE, GRAPH_FILE, TOKENIZER_FILE
from training.text_graph import OPSET, write_text_graph
from training.text_source import TextSource, file_sha256, find_text_source

# Part of the key of a kept export: raise it when what is written changes.
_EXPORTER = "1"


def open_text_encoder(
    cfg: TextConfig, *, providers: Sequence[str] = ("CPUExecutionProvider",), threads: int = 0
) -> CachedEncoder | None:
    """Open the configured encoder, exported if need be, with its vectors cached on disk; None for none and learned.

    Raises ValueError as `export_text_encoder` does.
    """
    folder = export_text_encoder(cfg)
    if folder is None:
        return None
    return CachedEncoder.open(
        folder, cfg.cache_folder, batch_tokens=cfg.batch_tokens, providers=providers, threads=threads
    )


def export_text_encoder(cfg: TextConfig, folder: str | Path | None = None) -> Path | None:
    """Write text.onnx, tokenizer.json and text.json to `folder` (None: leave them in the cache).

    Returns the folder that holds them, None for the sources none and learned. Raises ValueError when the weights cannot
    be found or are not the expected ones, and when the graph's parity error is above the limit.
    """
    if cfg.source in ("none", "learned"):  # learned: the network's own graph holds it
        return None
    source = find_text_source(cfg)
    deciding = [_EXPORTER, source.name, source.files, cfg.max_tokens, cfg.precision]
    key = hashlib.sha256(json.dumps(deciding).encode()).hexdigest()
    kept = cfg.cache_folder / "exports" / key[:32]
    if not _intact(kept):
        kept.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=kept.parent))
        try:
            _export(cfg, source, work)
            if not _intact(kept):
                shutil.rmtree(kept, ignore_errors=True)
            work.rename(kept)
        except OSError:
            if not _intact(kept):  # otherwise another process has finished the same export meanwhile
                raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return kept if folder is None else _copy(kept, Path(folder))


def _export(cfg: TextConfig, source: TextSource, folder: Path) -> None:
    pad_id = write_tokenizer(source.folder, cfg.max_tokens, folder / TOKENIZER_FILE)
    graph = write_text_graph(
        source.folder, folder / GRAPH_FILE, precision=cfg.precision, max_tokens=cfg.max_tokens, pad_id=pad_id
    )
    facts = {
        "source": source.name,
        "weights_sha256": source.weights_sha256,
        "max_tokens": cfg.max_tokens,
        "pooling": "mean",
        "precision": cfg.precision,
        "opset": OPSET,
        **asdict(graph),
        "files": {name: file_sha256(folder / name) for name in (GRAPH_FILE, TOKENIZER_FILE)},
    }
    (folder / FACTS_FILE).write_text(json.dumps(facts, indent=2) + "\n", "utf-8")


def write_tokenizer(source: Path, max_tokens: int, path: Path) -> int:
    """Write tokenizer.json, with the length limit and the padding in it, and return the id to pad with."""
    from transformers import AutoConfig, AutoTokenizer  # here, because a kept export needs no seconds of import

    try:
        if (source / "tokenizer.json").is_file():
            tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
        else:
            tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True).backend_tokenizer
    except Exception as error:  # damaged, unknown, of a kind that needs another package: each raises its own class
        raise ValueError(
            f"text.model: found a tokenizer in {source} that cannot be read ({error}), expected a whole one; "
            "save it with tokenizer.save_pretrained"
        ) from error
    # Any id does where the network names none: the mask hides it.
    pad_id = AutoConfig.from_pretrained(source).pad_token_id or 0
    tokenizer.enable_truncation(max_tokens)
    tokenizer.enable_padding(pad_id=pad_id, pad_token=tokenizer.id_to_token(pad_id) or "[PAD]")
    tokenizer.save(str(path), pretty=False)
    return int(pad_id)


def _intact(folder: Path) -> bool:
    """Whether a kept export is whole and unchanged."""
    try:
        files = json.loads((folder / FACTS_FILE).read_text("utf-8"))["files"]
        return all(file_sha256(folder / name) == sha256 for name, sha256 in files.items())
    except (OSError, ValueError, KeyError):
        return False


def _copy(kept: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in (GRAPH_FILE, TOKENIZER_FILE, FACTS_FILE):  # the facts last: where they are, the rest is
        unfinished = folder / f".unfinished-{name}"
        shutil.copyfile(kept / name, unfinished)
        os.replace(unfinished, folder / name)
    return folder
