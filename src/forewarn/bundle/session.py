"""ONNX Runtime sessions: one place for provider, thread and placement choices."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

PROVIDERS = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}


def open_session(
    graph: Path,
    provider: str = "cpu",
    threads: int = 0,
    *,
    spinning: bool = False,
    options: ort.SessionOptions | None = None,
) -> ort.InferenceSession:
    """Opens a graph on a provider ("cpu" or "cuda"); `threads` 0 leaves the number to ONNX Runtime.

    Threads do not spin while they wait: they would burn the cores that decode the next requests. Raises ValueError for
    an unknown provider, or one that the installed ONNX Runtime lacks.
    """
    if provider not in PROVIDERS:
        raise ValueError(f"provider: found {provider!r}, expected one of {sorted(PROVIDERS)}; use cpu or cuda")
    wanted = PROVIDERS[provider]
    if wanted[0] not in ort.get_available_providers():
        raise ValueError(
            f"provider: found {provider!r}, but this onnxruntime offers {ort.get_available_providers()}; "
            "install forewarn[gpu] in place of forewarn[cpu]"
        )
    if provider == "cuda":
        ort.preload_dlls()
    options = options or ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    session = ort.InferenceSession(str(graph), options, providers=wanted)
    if wanted[0] not in (running := session.get_providers()):
        # ONNX Runtime falls back in silence where a library of the provider does not load.
        raise ValueError(
            f"provider: found {provider!r}, but the session runs on {running}; the GPU or a CUDA library cannot be "
            "used: look at ONNX Runtime's own message above, or use provider=cpu"
        )
    return session


def nodes_by_provider(graph: Path, provider: str, feed: dict[str, NDArray[Any]]) -> dict[str, Counter[str]]:
    """Runs a graph once under the profiler: {provider: {operator: nodes}}; shows what fell back to the CPU."""
    options = ort.SessionOptions()
    with TemporaryDirectory() as folder:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = open_session(graph, provider, options=options)
        session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text())
    placed: dict[str, set[tuple[str, str]]] = {}
    for event in events:
        arguments = event.get("args", {})
        if event.get("cat") == "Node" and "provider" in arguments:
            placed.setdefault(arguments["provider"], set()).add((arguments["op_name"], event["name"]))
    return {name: Counter(operator for operator, _ in sorted(nodes)) for name, nodes in placed.items()}


def largest_difference(left: list[NDArray[np.float32]], right: list[NDArray[np.float32]]) -> float:
    """Largest absolute difference between two lists of equally shaped arrays; infinite where either is not finite."""
    worst = max(float(np.max(np.abs(a - b))) for a, b in zip(left, right, strict=True))
    return worst if np.isfinite(worst) else float("inf")
