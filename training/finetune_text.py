"""`python -m training.finetune_text`: the last layers of a text encoder learn what a target needs to read.

Design choices
- The encoder and a small sequence model learn together, end to end, from the labels of an ordinary run: a text is
  judged within its history, and yet encoded alone, as it is when serving.
- The result is a plain Hugging Face folder. Whatever reads one uses it as `text=huggingface text.model=<run>/encoder`;
  export, cache, training and serving know nothing of where it comes from. The sequence model here is thrown away.
- Training texts alone teach, validation texts decide when to stop, and of the test split nothing is read.

The run folder holds config.yaml, data/, checkpoints/, metrics.json and encoder/.
"""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from torch import Tensor

from forewarn.events import DataConfig
from forewarn.model import HeadSpec, InputShapes, ModelConfig
from forewarn.sequence import SequenceConfig
from forewarn.targets import ProtocolConfig
from forewarn.text import TextConfig
from training.command import make_folder, run_command
from training.config import SAVED, LoggerConfig, OptimConfig, TrainConfig, TrainerConfig, typed
from training.datamodule import SequenceDataModule
from training.fit import BEST, CHECKPOINTS, check_machine, fit_module, refuse_used, set_torch
from training.heads import head_specs
from training.module import SequenceModule
from training.prepare import Prepared, prepare
from training.provenance import git_commit
from training.target import load_target
from training.text_layers import TextNumbers, TunedEncoder
from training.text_source import TextSource, find_text_source

log = logging.getLogger(__name__)
ENCODER, FACTS = "encoder", "finetuned.json"
# What transformers reads a tokenizer from; config.json and the weights are not copied.
_TOKENIZER_FILES = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model")


@dataclass
class FinetuneTextConfig:
    """`python -m training.finetune_text`: a text encoder fitted to a target."""

    data: DataConfig = field(default_factory=DataConfig)
    target: str | None = None  # name in conf/targets or path of a target YAML; null takes the data set's default
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    text: TextConfig = field(default_factory=TextConfig)  # the encoder to start from: minilm or huggingface
    layers: int = 2  # transformer layers that learn, the last ones; fewer are faster
    lora_rank: int = 0  # rank of the change that each linear map of those layers learns; 0 learns all their weights
    learning_rate: float = 1e-4  # peak rate of the encoder
    sequence: SequenceConfig = field(default_factory=SequenceConfig)
    model: ModelConfig = field(default_factory=ModelConfig)  # the sequence model that learns along and is thrown away
    optim: OptimConfig = field(default_factory=OptimConfig)  # of that model; its schedule and decay hold for both
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    seed: int = 0
    run: str = MISSING  # folder of the run; the encoder is <run>/encoder
    resume: bool = False  # continue the run in `run` after its last whole epoch

    def __post_init__(self) -> None:
        if self.text.source not in ("minilm", "huggingface"):
            raise ValueError(
                f"text.source: found {self.text.source!r}, expected minilm or huggingface, encoders to start from"
            )
        if self.layers < 1:
            raise ValueError(f"layers: found {self.layers}, expected at least 1; use 2")
        if self.lora_rank < 0:
            raise ValueError(f"lora_rank: found {self.lora_rank}, expected 0 or a rank; use 0 or 8")
        if self.trainer.devices not in (1, "1"):
            raise ValueError(f"trainer.devices: found {self.trainer.devices!r}, expected 1; use trainer=cpu or gpu")

    def as_training(self) -> TrainConfig:
        """The run whose data and labels these are; it measures nothing, so it never reads the test split."""
        shared = (
            "data",
            "target",
            "protocol",
            "text",
            "sequence",
            "model",
            "optim",
            "trainer",
            "logger",
            "seed",
            "run",
        )
        own = {name: getattr(self, name) for name in shared}
        return TrainConfig(**own, resume=self.resume, measure=False, baselines=[])


ConfigStore.instance().store(name="finetune_text_schema", node=FinetuneTextConfig)


class FinetuneModule(SequenceModule):
    """A sequence model over the live vectors of a `TunedEncoder`, both learning."""

    def __init__(
        self,
        text: TunedEncoder,
        learning_rate: float,
        model: ModelConfig,
        inputs: InputShapes,
        heads: list[HeadSpec],
        optim: OptimConfig,
        seed: int,
    ) -> None:
        super().__init__(model, replace(inputs, text_width=text.width), heads, optim, seed)
        self.text, self.learning_rate = text, learning_rate

    def loss(self, batch: dict[str, Tensor], stage: str) -> Tensor:
        return super().loss(batch | self.read(batch["text_index"], batch["text_vectors"]), stage)

    def read(self, text_index_BT: Tensor, numbers_U1: Tensor) -> dict[str, Tensor]:
        """Vectors of the distinct texts that a batch shows, in place of the numbers of all that it holds."""
        shown_BT = text_index_BT > 0
        numbers_BT = numbers_U1[:, 0].long()[(text_index_BT - 1).clamp(min=0)].masked_fill(~shown_BT, 0)
        zero = numbers_BT.new_zeros(1)  # always among them: a text without content, whose vector is 0 as at export
        distinct, place = torch.unique(torch.cat([zero, numbers_BT.flatten()]), return_inverse=True)
        vectors_VE = self.text(distinct[1:]).float()
        index_BT = (place[1:].reshape(numbers_BT.shape) + 1).masked_fill(~shown_BT, 0)
        return {
            "text_index": index_BT,
            "text_vectors": torch.cat([vectors_VE.new_zeros(1, vectors_VE.shape[1]), vectors_VE]),
        }

    def parameter_groups(self) -> list[dict[str, Any]]:
        learning = [parameter for parameter in self.text.parameters() if parameter.requires_grad]
        own = {"params": learning, "lr": self.learning_rate, "weight_decay": self.optim.weight_decay}
        return [*super().parameter_groups(), own]


def finetune_text(config: FinetuneTextConfig) -> dict[str, Any]:
    """Fine-tunes an encoder and saves it; the result holds its folder and how the training went."""
    run = Path(config.run)
    check_machine(config.trainer)
    if not config.resume:
        refuse_used(run)
    make_folder(run, "run")
    (run / SAVED).write_text(OmegaConf.to_yaml(OmegaConf.structured(config)))
    training = config.as_training()
    source = find_text_source(config.text)
    prepared, texts = prepare_texts(training, source, run / "data")
    set_torch(config.trainer, config.seed)
    text = TunedEncoder(source.folder, config.text, texts, config.layers, config.lora_rank, run / "data" / "text")
    module = FinetuneModule(
        text, config.learning_rate, config.model, prepared.input_shapes, head_specs(prepared), config.optim, config.seed
    )
    gpu = config.trainer.accelerator != "cpu" and torch.cuda.is_available()
    text.keep_lower(run / "data" / "text" / "lower.f16", torch.device("cuda" if gpu else "cpu"))
    data = SequenceDataModule(prepared.folder, config.optim, config.seed, config.trainer)
    facts = fit_module(training, module, data, run, run / CHECKPOINTS)
    best = torch.load(run / CHECKPOINTS / BEST, map_location="cpu", weights_only=False)
    module.load_state_dict(best["state_dict"])
    learnt = sum(parameter.numel() for parameter in text.parameters() if parameter.requires_grad)
    encoder = save_encoder(text, source, run / ENCODER, provenance(config, prepared, source) | {"training": facts})
    (run / "data" / "text" / "lower.f16").unlink(missing_ok=True)  # as large as the texts are long, and of no more use
    (run / "metrics.json").write_text(json.dumps({"training": facts, "data": prepared.facts}, indent=2) + "\n")
    shown = {name: fact for name, fact in facts.items() if name not in ("curve", "parameters")}
    return {"run": run, "encoder": encoder, "texts": len(texts), "learnt_parameters": learnt, **shown}


def prepare_texts(config: TrainConfig, source: TextSource, folder: Path) -> tuple[Prepared, list[str]]:
    """The encoded splits with the numbers of texts for vectors, and those texts; ValueError where there is none."""
    saved = folder / "texts.json"  # the splits are kept over a resume, and their numbers must be too
    numbers = TextNumbers(source.weights_sha256, json.loads(saved.read_text()) if saved.is_file() else ())
    prepared = prepare(config, load_target(config), folder, numbers)
    if not prepared.featurizer.text_width or not numbers.texts:
        raise ValueError(
            "data: found no texts that the model reads, expected some to fine-tune an encoder on; check "
            "data.inputs.text and the column of the texts"
        )
    saved.write_text(json.dumps(numbers.texts))
    return prepared, numbers.texts


def provenance(config: FinetuneTextConfig, prepared: Prepared, source: TextSource) -> dict[str, Any]:
    """Where an encoder comes from, for those who find its folder."""
    return {
        "source": source.name,
        "source_sha256": source.weights_sha256,
        "layers": config.layers,
        "lora_rank": config.lora_rank,
        "learning_rate": config.learning_rate,
        "max_tokens": config.text.max_tokens,
        "seed": config.seed,
        "data": config.data.source,
        "commit": git_commit(),
        **{name: prepared.facts[name] for name in ("fingerprint", "splits", "target", "target_hash")},
    }


def save_encoder(text: TunedEncoder, source: TextSource, folder: Path, facts: dict[str, Any]) -> Path:
    """Writes the folder under its name when it is whole: config.json, tokenizer, model.safetensors, finetuned.json."""
    work = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    text.save(work)
    shutil.copyfile(
        source.folder / "config.json", work / "config.json"
    )  # the same network, and no path of this machine
    for pattern in _TOKENIZER_FILES:
        for path in source.folder.glob(pattern):
            shutil.copyfile(path, work / path.name)
    (work / FACTS).write_text(json.dumps(facts, indent=2) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    work.rename(folder)
    return folder


def main(config: DictConfig) -> dict[str, Any]:
    """Fine-tunes, or continues a run with its own configuration by `resume=true run=…`."""
    parsed: FinetuneTextConfig = typed(config, FinetuneTextConfig)
    if parsed.resume:
        saved = Path(parsed.run) / SAVED
        if not saved.is_file():
            raise ValueError(
                f"resume: found no {saved}, expected the folder of a run; correct run=, or leave out resume"
            )
        if (Path(parsed.run) / "metrics.json").is_file():
            raise ValueError(f"resume: found a finished run in {parsed.run}, expected an unfinished one; correct run=")
        kept: FinetuneTextConfig = typed(OmegaConf.load(saved), FinetuneTextConfig)  # type: ignore[arg-type]
        parsed = replace(kept, run=parsed.run, resume=True)
    return finetune_text(parsed)


@hydra.main(version_base="1.3", config_path="../conf", config_name="finetune_text")
def command(config: DictConfig) -> None:
    """Hydra entry point."""
    run_command(main, config)


if __name__ == "__main__":
    command()
