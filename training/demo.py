"""`make demo`: from raw events to a risk that moves on screen, through the real commands' own functions and real HTTP.

The service runs as its own process, started by the documented command. The customer shown is one of the test split whom
the model never saw: among those with an onset, the one whose risk rose most. That is a showcase, not a measurement.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
import msgspec
import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from forewarn.bundle import Bundle, Scorer
from forewarn.events import Event, History, HistoryStore
from forewarn.targets import HazardLabels, TargetSpec
from training.command import make_folder, run_command
from training.config import TrainConfig, typed
from training.fit import refuse_used
from training.measure import SplitRows, score_split
from training.prepare import Prepared
from training.remote import post_json
from training.target import load_target
from training.train import train

_MARK = ".demo"  # in a run folder: the demo made it and may clear it
_SHOWN, _LEAST_SHOWN = 14, 3  # newest events of the customer that are streamed one by one


def demo(config: TrainConfig) -> dict[str, Any]:
    """Trains, serves, streams one customer; leaves the service up until Ctrl-C unless DEMO_ONCE is set."""
    hazard = hazard_task(load_target(config))
    clear(Path(config.run))
    print("1/3 training the tiny model", flush=True)
    result = train(config)
    bundle = Path(result["bundle"])
    history = showcase(config, bundle, hazard)
    print("2/3 starting the service", flush=True)
    with service(bundle) as url:
        print(f"3/3 streaming {history.customer_id} to {url}/v1/score\n", flush=True)
        risk = stream(url, history, Bundle.load(bundle), hazard)
        if not os.environ.get("DEMO_ONCE"):
            print(f"\nThe service stays up: {url}/docs. Ctrl-C ends it.", flush=True)
            wait_for_interrupt()
    return {"bundle": bundle, "customer": history.customer_id, "risk": risk, "headline": result["headline"]}


def hazard_task(target: TargetSpec) -> str:
    """The name of the target's first hazard task, whose risk is shown; ValueError when it has none."""
    for task in target.tasks:
        if task.kind == "hazard":
            return task.name
    raise ValueError(
        f"target: found {target.name!r} without a hazard task, expected one, since the demo shows a risk; name another "
        "with target=…, or train on this data with python -m training.train"
    )


def clear(run: Path) -> None:
    """Removes what an earlier demo left in `run`, and nothing of another run; its data is found again by its key."""
    if (run / _MARK).is_file():
        for folder in ("checkpoints", "bundle"):
            shutil.rmtree(run / folder, ignore_errors=True)
        for file in ("config.yaml", "origin.json", "metrics.json", "report.md"):
            (run / file).unlink(missing_ok=True)
    refuse_used(run)
    make_folder(run, "run")
    (run / _MARK).touch()


def showcase(config: TrainConfig, bundle_path: Path, hazard: str) -> History:
    """The history, up to its last event before an onset, of the test customer whose risk rose most on the way there."""
    bundle, run = Bundle.load(bundle_path), Path(config.run)
    rows = SplitRows.load(Prepared.load(run / "data" / "encoded").split("test"), bundle.target)
    risk_N = score_split(Scorer(bundle), rows.histories, bundle.target)[hazard][:, -1]
    label = rows.tasks[hazard].label()
    assert isinstance(label, HazardLabels)
    before_N: NDArray[np.bool_] = label.onset.max(axis=1) > 0
    ends = np.cumsum([history.length for history in rows.histories])
    best, history_id, events = -1.0, rows.histories[0].history_id, 1
    for history, start, end in zip(rows.histories, rows.starts, ends.tolist(), strict=True):
        own = slice(end - history.length, end)
        last = int(np.flatnonzero(before_N[own])[-1]) if before_N[own].any() else 0
        shown = risk_N[own][max(last + 1 - _SHOWN, 0) : last + 1]
        if last >= _LEAST_SHOWN and (rise := float(shown[-1] - shown.min())) > best:
            best, history_id, events = rise, history.history_id, start + last + 1
    whole = next(history for history in HistoryStore(run / "data" / "histories") if history.history_id == history_id)
    return History(history_id, whole.customer_id, bundle.target.visible(whole).events[:events])


@contextmanager
def service(bundle: Path) -> Iterator[str]:
    """Runs `python -m serving.run` on a free port; yields its address and stops it with SIGTERM."""
    command = [sys.executable, "-m", "serving.run", f"bundle={bundle}", "port=0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("{"):
                yield json.loads(line)["url"]
                return
            print(f"    {line.rstrip()}", flush=True)
        raise ValueError(f"serving.run ended with code {process.wait()} before it was ready; its messages are above")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()


def stream(url: str, history: History, bundle: Bundle, task: str) -> list[float]:
    """Posts the history after each of its newest events and prints how the risk moves and what moved it."""
    horizon = next(known.outputs[-1] for known in bundle.manifest.tasks if known.name == task)
    first = max(len(history.events) - _SHOWN, 0)
    texts = {event.event_id: describe(event) for event in history.events}
    risks: list[float] = []
    answer: dict[str, Any] = {}
    for i in range(first, len(history.events)):
        last = i + 1 == len(history.events)
        answer = post(url, history, history.events[: i + 1], explain=3 if last else 0)
        risks.append(answer["risk"][task][horizon])
        event = history.events[i]
        bar = "█" * round(30 * risks[-1])
        print(f"  {event.occurred_at:%a %d %b %H:%M}  {risks[-1]:6.1%} {bar:<30}  {describe(event)}", flush=True)
    print(f"\n  {task} within {horizon}: {risks[0]:.1%} → {risks[-1]:.1%}. The events that raised it most:")
    for reason in answer["reasons"].get(task, []):
        print(f"    +{reason['contribution']:.2f} log-odds  {texts[reason['event_id']]}")
    return [round(risk, 4) for risk in risks]


def post(url: str, history: History, events: list[Event], explain: int) -> dict[str, Any]:
    """One request to /v1/score with one history; the answer for it."""
    body = {
        "histories": [{"customer_id": history.customer_id, "events": msgspec.to_builtins(events)}],
        "explain": explain,
    }
    scored: dict[str, Any] = post_json(f"{url}/v1/score", body)["histories"][0]
    return scored


def describe(event: Event) -> str:
    """An event in one short line."""
    said = (event.text or "").replace("\n", " ")
    if not said:
        said = ", ".join(f"{name} {value}" for name, value in list(event.attributes.items())[:3])
    text = f"{event.type} ({event.actor or event.channel or event.source}) {said}"
    return text if len(text) <= 90 else text[:89] + "…"


def wait_for_interrupt() -> None:
    """Blocks until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("stopping the service", flush=True)


def main(config: DictConfig) -> dict[str, Any]:
    """Runs the demo."""
    return demo(typed(config, TrainConfig))


@hydra.main(version_base="1.3", config_path="../conf", config_name="demo")
def command(config: DictConfig) -> None:
    """Hydra entry point."""
    run_command(main, config)


if __name__ == "__main__":
    command()
