"""`serve run` with a config file: the same application under Ray's own command, from start to Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import yaml

from serving.environment import SETTINGS
from serving.listener import reserve

_START_S, _STOP_S = 150, 60


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    # A script's background jobs have SIGINT ignored, and their children too; one that is handled is default in a child.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def application(name: str, bundle: Path, port: int) -> dict[str, object]:
    settings = {"bundle": str(bundle), "port": port, "threads": 1, "access_log": True}
    return {"name": name, "route_prefix": f"/{name}", "import_path": "serving.deployment:build", "args": settings}


def test_replicas_listen_beside_the_proxies_but_not_on_their_port_and_ctrl_c_ends_it_in_order(
    repository: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    with reserve("127.0.0.1", 0) as one, reserve("127.0.0.1", 0) as other:
        proxies, own = one.getsockname()[1], other.getsockname()[1]
    config = {
        "http_options": {"host": "127.0.0.1", "port": proxies},
        "logging_config": {"log_level": "WARNING", "enable_access_log": False},
        "applications": [application("right", tiny_bundle, own), application("wrong", tiny_bundle, proxies)],
    }
    (tmp_path / "application.yaml").write_text(yaml.safe_dump(config))
    # As a user has it: without what a service in this process has set for itself.
    plain = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    environment = plain | {"PYTHONPATH": os.pathsep.join((str(repository / "src"), str(repository)))}
    words = tmp_path / "words"
    with words.open("w") as file:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("serve"), "run", "--address", "local", tmp_path / "application.yaml"],
            cwd=repository, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + _START_S
            said = ""
            while not (
                f"port: found {proxies}, which Serve's proxies listen on" in said and '"path": "/readyz"' in said
            ):
                assert process.poll() is None and time.monotonic() < deadline, said
                with suppress(httpx.TransportError):
                    httpx.get(f"http://127.0.0.1:{own}/readyz", timeout=2)
                time.sleep(0.5)
                said = words.read_text()
            assert re.search(r'\{"method": "GET", "path": "/readyz", "status": 200, ', said)
            os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does
            process.wait(_STOP_S)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0
    assert "Stack trace" not in words.read_text()
