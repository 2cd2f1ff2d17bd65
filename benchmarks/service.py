"""The service under test: `python -m serving.run` as a user starts it, in processes of its own.

Its CPU time is that of the whole tree, Ray's daemons included: what a request costs the machine. What the tree uses
while nobody asks is measured once and taken off, because it is a cost per hour, not per request.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.config import BenchConfig

REPOSITORY = Path(__file__).resolve().parent.parent
_STOP_S = 60.0
_USER_MISTAKE = 2  # exit code
_SETTLE_S = 2.0  # Ray finishes its own start some time after it says it has started
_IDLE_S = 5.0  # window of the idle baseline


@dataclass
class ServiceUnderTest:
    """A running service: where it scores, what its start took, and the cores it uses when idle."""

    url: str
    ray_s: float
    ready_s: float
    process: psutil.Process
    several_replicas: bool
    idle_cores: float = 0.0

    @property
    def facts(self) -> dict[str, float]:
        """Seconds that Ray and then forewarn took to start, and cores in use when idle."""
        return {"ray_s": self.ray_s, "ready_s": self.ready_s, "idle_cores": round(self.idle_cores, 4)}

    def cpu_s(self) -> float:
        """CPU seconds, user and system, of every process of the service since each started."""
        total = 0.0
        for process in [self.process, *self.process.children(recursive=True)]:
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return total

    def metrics(self) -> dict[str, float] | None:
        """What `/metrics` shows now: {sample name: value}, labelled samples as name{path,status}.

        None with several replicas: they share a port, and whichever takes the connection knows only its own figures.
        """
        if self.several_replicas:
            return None
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        return {
            sample.name + (f"{{{','.join(sample.labels.values())}}}" if sample.labels else ""): sample.value
            for family in families
            for sample in family.samples
        }

    def measure_idle(self) -> None:
        """Measures `idle_cores`, CPU seconds per second without a request."""
        time.sleep(_SETTLE_S)
        cpu, began = self.cpu_s(), time.perf_counter()
        time.sleep(_IDLE_S)
        self.idle_cores = (self.cpu_s() - cpu) / (time.perf_counter() - began)


@contextmanager
def serving(config: BenchConfig, bundle: Path) -> Iterator[ServiceUnderTest]:
    """Starts the service on a free port of 127.0.0.1 and stops it.

    Raises ValueError with its own words for a setting it refuses, RuntimeError when it fails.
    """
    with TemporaryFile("w+") as words:
        process = subprocess.Popen(
            _command(config, bundle),
            cwd=REPOSITORY,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
        )
        try:
            assert process.stdout is not None
            facts = _facts(process.stdout)
            if facts is None:
                words.seek(0)
                if process.wait() == _USER_MISTAKE:
                    raise ValueError(f"serving.run: {words.read().strip().removeprefix('error: ')}")
                raise RuntimeError(f"serving.run ended with code {process.returncode}:\n{words.read()}")
            several = int(config.serve.get("max_replicas") or config.serve.get("replicas", 1)) > 1
            tree = psutil.Process(process.pid)
            service = ServiceUnderTest(facts["url"], facts["ray_s"], facts["ready_s"], tree, several)
            service.measure_idle()
            yield service
        finally:
            _stop(process)


def _command(config: BenchConfig, bundle: Path) -> list[str]:
    settings = [
        f"bundle='{bundle.resolve()}'",
        "port=0",
        f"provider={config.provider}",
        f"precision={config.precision}",
        f"threads={config.threads}",
        *(["num_gpus=1"] if config.provider == "cuda" else []),
        *(f"{name}={value}" for name, value in config.serve.items()),
    ]
    return [sys.executable, "-m", "serving.run", *settings]


def _environment() -> dict[str, str]:
    # The service imports what this process does, installed or not.
    path = dict.fromkeys(entry for entry in (str(REPOSITORY), *sys.path) if entry)
    return os.environ | {"PYTHONPATH": os.pathsep.join(path)}


def _facts(lines: IO[str]) -> dict[str, Any] | None:
    """The JSON line with which the service says that it is ready; None when its output ends without one."""
    for line in lines:
        if line.startswith("{"):
            facts: dict[str, Any] = json.loads(line)
            return facts
    return None


def _stop(process: subprocess.Popen[str]) -> None:
    """Ends the service in its orderly way, and what is left of its tree after that by force."""
    tree: list[psutil.Process] = []
    if process.poll() is None:
        tree = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
    for left in psutil.wait_procs(tree, timeout=5)[1]:
        left.kill()
