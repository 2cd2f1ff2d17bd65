"""`python -m training.rolling experiment=… origins=4`: a training repeated at several origins, and one page of all.

The same command continues what was interrupted. The run folder holds a folder per run, origin-1 and so on; when all are
finished, report.md, record.json and metrics.json with the means.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from forewarn.bundle import Bundle
from forewarn.bundle.manifest import METRICS
from forewarn.events import open_histories
from forewarn.targets import summarise
from training.command import make_folder, run_command
from training.config import typed
from training.labelled import progress
from training.metrics import headline
from training.origins.config import RollingConfig
from training.origins.cuts import Origin, lay_origins, origin_overrides, written
from training.origins.page import rolling_page
from training.origins.pool import OriginRows, pool
from training.provenance import origin as this_process
from training.results.record import (
    RECORD,
    REPORT,
    Record,
    make_record,
    note_origin,
    rounded,
    run_origin,
    run_record,
    write_page,
)
from training.runs import TRAIN, finish_run
from training.target import load_target

log = logging.getLogger(__name__)


def rolling(config: RollingConfig, overrides: Sequence[str]) -> dict[str, Any]:
    """Runs what is left of the origins, and pools them; ``overrides`` are those that the configuration was made with.

    Raises ValueError for data without clock, and where a run ends with an error.
    """
    if config.data.clock == "none" or config.data.splits is not None:
        raise ValueError(
            f"data: found {config.data.source} with {'no clock' if config.data.clock == 'none' else 'given splits'}, "
            "expected data that can be cut in time; use training.train"
        )
    run = Path(config.run)
    make_folder(run, "run")
    if config.page:
        make_folder(Path(config.page).parent, "page")
    origins = _origins(config, run)
    folders = [run / f"origin-{number}" for number in range(1, len(origins) + 1)]
    for number, (origin, folder) in enumerate(zip(origins, folders, strict=True), 1):
        log.info("origin %d of %d: cut %s", number, len(origins), origin.cut.isoformat(timespec="minutes"))
        finish_run(TRAIN, origin_overrides(overrides, config, origin), folder)
    record = _record(config, run, origins, folders)
    page = rolling_page(record)
    (run / REPORT).write_text(page)
    (run / RECORD).write_text(json.dumps(record, indent=1) + "\n")
    (run / METRICS).write_text(json.dumps({"metrics": record["metrics"]}, indent=2) + "\n")
    if config.page:
        write_page(Path(config.page), page, record)
    figures = {
        model: {task: headline(result) for task, result in own.items()} for model, own in record["metrics"].items()
    }
    return {"run": run, "origins": [origin.cut.isoformat() for origin in origins], "headline": figures}


def _origins(config: RollingConfig, run: Path) -> list[Origin]:
    """The origins of the data, laid once: read again only where the command is another one."""
    path, known = run / "origins.json", run_origin(run)["command"]
    if path.is_file() and known == this_process()["command"]:
        stored = [[time and datetime.fromisoformat(time) for time in own] for own in json.loads(path.read_text())]
        return [Origin(*own) for own in stored]
    target = load_target(config)
    store = open_histories(config.data, run / "histories", progress=sys.stderr.isatty())
    histories = progress(store, "summaries", len(store))
    origins = lay_origins([own for one in histories for own in summarise(one, target, config.protocol)], config)
    times = [[written(time) for time in (own.cut, own.end, own.known_until)] for own in origins]
    path.write_text(json.dumps(times) + "\n")
    note_origin(run)
    return origins


def _record(config: RollingConfig, run: Path, origins: Sequence[Origin], folders: Sequence[Path]) -> Record:
    pooled = pool([OriginRows.load(folder) for folder in folders], config.bootstrap, config.seed)
    manifest = Bundle.load(folders[-1] / "bundle").manifest
    title = f"{manifest.data['target']} on {config.data.source}"
    made = run_origin(run) | {"date": f"{datetime.now(UTC):%Y-%m-%d}"}
    record = make_record(title, pooled, manifest, made)
    parts = []
    for origin, folder in zip(origins, folders, strict=True):
        own = run_record(folder)
        parts.append({
            "cut": origin.cut.isoformat(), "end": written(origin.end),
            "histories": own["data"]["histories"], "shipped": own["shipped"], "commit": own["commit"],
            "metrics": without_prefixes(own["metrics"]),
        })  # fmt: skip
    agreed = {task: name for task, name in record["shipped"].items() if all(p["shipped"][task] == name for p in parts)}
    data = {"fingerprint": manifest.data["fingerprint"], "protocol": manifest.data["protocol"]["name"]}
    return rounded(
        record | {"data": data, "shipped": agreed, "known_until": written(origins[0].known_until), "origins": parts}
    )


def without_prefixes(value: Any) -> Any:
    """Metrics without what they say of each prefix length and of fitting."""
    if not isinstance(value, dict):
        return value
    return {name: without_prefixes(own) for name, own in value.items() if name not in ("by_prefix", "fitted")}


def main(config: DictConfig) -> dict[str, Any]:
    """Trains at every origin."""
    return rolling(typed(config, RollingConfig), HydraConfig.get().overrides.task)


@hydra.main(version_base="1.3", config_path="../conf", config_name="rolling")
def command(config: DictConfig) -> None:
    """Hydra entry point."""
    run_command(main, config)


if __name__ == "__main__":
    command()
