"""Scores from a running service: the same histories over HTTP, so that what is served can be measured like the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import msgspec
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from forewarn.bundle import Bundle
from forewarn.events import History
from forewarn.sequence import windows

PER_REQUEST = 16  # histories
_GROUPS = {"hazard": "risk", "classification": "classes", "regression": "values"}


def post_json(url: str, body: dict[str, Any], timeout_s: float = 60.0) -> dict[str, Any]:
    """Posts JSON and returns the JSON answer; ValueError carries the service's own problem text."""
    request = Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urlopen(request, timeout=timeout_s) as answer:
            decoded: dict[str, Any] = json.loads(answer.read())
            return decoded
    except HTTPError as error:
        raise ValueError(f"{url}: answered {error.code}: {error.read().decode(errors='replace')}") from None
    except URLError as error:
        raise ValueError(f"url: found no service at {url} ({error.reason}); start one: python -m serving.run") from None


def score_remote(url: str, histories: Sequence[History], bundle: Bundle) -> dict[str, NDArray[np.float32]]:
    """Scores of every prefix of whole histories by the service at `url`, in the layout of `score_split`.

    A history longer than the model reads is sent once per window, up to the window's end: what the service reads of it
    then is that window. ValueError when the service runs another model than `bundle`.
    """
    values: dict[str, list[list[float]]] = {task.name: [] for task in bundle.manifest.tasks}
    longest = bundle.featurizer.config.max_length
    ends = [(history, stop) for history in histories for _, stop in windows(len(history.events), longest)]
    for start in tqdm(range(0, len(ends), PER_REQUEST), desc="score over HTTP", disable=None, leave=False):
        chunk = ends[start : start + PER_REQUEST]
        body = {
            "histories": [
                {"customer_id": h.customer_id, "history_id": h.history_id, "events": msgspec.to_builtins(h.events[:n])}
                for h, n in chunk
            ]
        }
        answer = post_json(f"{url.rstrip('/')}/v1/score", body)
        if answer["model_hash"] != bundle.model_hash:
            raise ValueError(
                f"url: {url} serves model {answer['model_hash'][:12]}, expected {bundle.model_hash[:12]} of "
                f"{bundle.path}; serve that bundle"
            )
        for history in answer["histories"]:
            for point in history["trajectory"]:
                for task in bundle.manifest.tasks:
                    own = point[_GROUPS[task.kind]][task.name]
                    values[task.name].append([own[output] for output in task.outputs])
    scores = {name: np.array(rows, dtype=np.float32) for name, rows in values.items()}
    return {
        task.name: scores[task.name][:, 0] if task.kind == "regression" else scores[task.name]
        for task in bundle.manifest.tasks
    }
