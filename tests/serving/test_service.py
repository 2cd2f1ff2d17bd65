"""The service on a real Ray Serve instance: start, answers over HTTP, orderly end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.service import Service


def replicas() -> Iterator[int]:
    """Process ids of Serve replicas on this machine."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"ServeReplica:forewarn" in (entry / "cmdline").read_bytes():
                yield int(entry.name)
        except OSError:  # it ended meanwhile
            continue


def test_the_service_is_ready_within_20_seconds_beyond_ray_s_own_start(service: Service) -> None:
    assert service.forewarn_s < 20
    assert httpx.get(f"{service.url}/readyz").text == "ok"
    assert httpx.get(f"{service.url}/livez").text == "ok"


def test_it_answers_over_http_like_the_engine_in_this_process(service: Service, client: Any, events: Any) -> None:
    body = {"histories": [{"customer_id": f"c{n}", "events": events(n)} for n in (1, 5, 30)], "explain": 1}
    response = httpx.post(f"{service.url}/v1/score", json=body, timeout=30)
    assert response.status_code == 200
    served, expected = response.json(), client.score(body).json()
    assert served["model_hash"] == expected["model_hash"] == service.model_hash
    for one, other in zip(served["histories"], expected["histories"], strict=True):
        assert one["risk"]["escalation"] == pytest.approx(other["risk"]["escalation"], abs=1e-4)
        assert len(one["trajectory"]) == len(other["trajectory"])


def test_many_clients_at_once_each_get_their_own_answer_and_share_batches(service: Service, events: Any) -> None:
    def ask(n: int) -> tuple[str, int]:
        body = {"customer_id": f"c{n}", "events": events(1 + n % 20)}
        (answer,) = httpx.post(f"{service.url}/v1/score", json=body, timeout=30).json()["histories"]
        return answer["customer_id"], len(answer["trajectory"])

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(100))) == [(f"c{n}", 1 + n % 20) for n in range(100)]


def test_errors_are_problem_documents_through_the_real_server(service: Service) -> None:
    for response, status in (
        (httpx.post(f"{service.url}/v1/score", content=b"{", headers={"content-type": "application/json"}), 400),
        (httpx.get(f"{service.url}/nothing"), 404),
        (httpx.post(f"{service.url}/v1/score", json={"customer_id": "c", "events": []}), 422),
        (httpx.post(f"{service.url}/v1/score", content=b" " * 20_000_000), 415),
    ):
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"


def test_documentation_model_and_metrics_are_there(service: Service) -> None:
    assert "swagger" in httpx.get(f"{service.url}/docs").text.lower()
    assert httpx.get(f"{service.url}/v1/model").json()["model_hash"] == service.model_hash
    assert "forewarn_batches_total" in httpx.get(f"{service.url}/metrics").text


def test_no_replica_has_torch_in_its_memory(service: Service) -> None:
    found = list(replicas())
    assert found
    for pid in found:
        libraries = Path(f"/proc/{pid}/maps").read_text()
        assert "onnxruntime" in libraries
        assert "libtorch" not in libraries


def run_command(repository: Path, *settings: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(repository / "src"), str(repository)))}
    command = [sys.executable, "-m", "serving.run", *settings]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=repository, env=environment, stdout=pipe, stderr=pipe, text=True)


def test_the_command_says_where_it_listens_and_finishes_accepted_requests_when_told_to_stop(
    repository: Path, tiny_bundle: Path, events: Any
) -> None:
    command = run_command(repository, f"bundle={tiny_bundle}", "port=0", "threads=1", "access_log=true")
    assert command.stdout is not None
    try:
        lines = [command.stdout.readline()]
        while not lines[-1].startswith("{"):  # the access log may come first: starting asks /readyz
            lines.append(command.stdout.readline())
        facts = json.loads(lines[-1])
        assert any(line.startswith("forewarn listens on") and facts["url"] in line for line in lines)
        assert facts["ready_s"] < 20
        long = {"histories": [{"customer_id": f"c{i}", "events": events(512)} for i in range(64)], "trajectory": False}
        answers: list[httpx.Response] = []
        request = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{facts['url']}/v1/score", json=long, timeout=60))
        )
        request.start()
        while "forewarn_requests_in_flight 1" not in httpx.get(f"{facts['url']}/metrics").text:
            time.sleep(0.005)
        command.send_signal(signal.SIGTERM)
        request.join()
        assert answers[0].status_code == 200
        assert len(answers[0].json()["histories"]) == 64
        assert command.wait(30) == 0
        assert '{"method": "GET", "path": "/metrics", "status": 200, ' in command.stdout.read()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{facts['url']}/livez")
    finally:
        command.kill()
        command.communicate()


def refusal(repository: Path, *settings: str) -> str:
    command = run_command(repository, *settings)
    out, error = command.communicate(timeout=60)
    assert command.returncode == 2, error
    assert not out
    assert error.startswith("error: ")
    return error


def test_a_taken_port_is_refused_before_anything_starts(repository: Path, tiny_bundle: Path, service: Service) -> None:
    port = service.url.rpartition(":")[2]
    assert f"port: found {port} on 127.0.0.1 unusable" in refusal(repository, f"bundle={tiny_bundle}", f"port={port}")


def test_a_missing_bundle_is_refused_before_anything_starts(repository: Path, tmp_path: Path) -> None:
    assert f"bundle: found no manifest.json in {tmp_path}" in refusal(repository, f"bundle={tmp_path}")


def test_a_tampered_bundle_is_refused_by_the_name_of_the_file(
    repository: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    with (copy / "featurizer.json").open("a") as file:
        file.write(" ")
    assert "featurizer.json: found sha256" in refusal(repository, f"bundle={copy}")
