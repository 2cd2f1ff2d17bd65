"""Serving never imports torch, transformers, Lightning or training, neither at import nor while it scores."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import asyncio, json, sys
import serving.deployment, serving.run
from serving.config import load
from serving.engine import Engine

async def score():
    engine = Engine(load({"bundle": sys.argv[1], "threads": 1}))
    await engine.warm_up()
    event = {"type": "conversation.message", "occurred_at": "2026-11-20T13:00:00Z", "text": "it broke again"}
    later = event | {"occurred_at": "2026-11-20T14:00:00Z"}
    body = {"customer_id": "c", "events": [event, later], "explain": 1}
    answer = json.loads(await engine.score(json.dumps(body).encode()))
    assert answer["histories"][0]["risk"]["escalation"]
    engine.close()

asyncio.run(score())
heavy = {"torch", "transformers", "pytorch_lightning", "lightning", "sentence_transformers", "training", "sklearn"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""


def test_scoring_a_history_with_text_and_reasons_leaves_torch_out(repository: Path, tiny_bundle: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(repository / "src"), str(repository)))}
    command = [sys.executable, "-c", SCRIPT, str(tiny_bundle)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "[]"
