"""Settings of the service: one flat dataclass for `serving.run`, `serve run key=value` and a cluster's YAML.

Flat, so that a setting has the same name on all three command lines. `load` is the only way in: it converts the
strings that `serve run` passes and refuses a name or a value it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException


@dataclass
class ServeConfig:
    """Every knob of the service, with a default that works on one machine."""

    bundle: str = MISSING  # folder of the bundle to serve

    host: str = "127.0.0.1"  # address that replicas listen on; 0.0.0.0 for every interface
    port: int | None = 8000  # shared by a node's replicas; 0 for a free one, null to be reached through Serve's proxies
    access_log: bool = False  # one JSON line per request on the logger "serving.access"

    replicas: int = 1  # replicas at start, and the fewest when autoscaling
    max_replicas: int | None = None  # most replicas; null keeps their number fixed
    target_load: float = 16.0  # requests in flight per replica that autoscaling aims at
    num_cpus: float = 1.0  # CPUs that Ray reserves per replica
    num_gpus: float = 0.0  # GPUs that Ray reserves per replica
    max_ongoing_requests: int = 1000  # requests that a replica answers at once; more are answered 503
    drain_s: float = 20.0  # seconds a stopping replica may take to finish what it accepted

    provider: str = "cpu"  # cpu or cuda
    precision: str = "fp32"  # fp32 or fp16; the bundle must hold that graph
    threads: int = 0  # threads of one graph call; 0 leaves it to ONNX Runtime

    token_budget: int = 0  # padded events (batch x longest history) of one graph call; 0: 1024 on cpu, 16384 on cuda
    queue_tokens: int = 262_144  # events that may wait; more are answered 503
    deadline_s: float = 10.0  # seconds an answer may wait when x-forewarn-deadline-ms does not say
    inline_bytes: int = 16_384  # a larger body is decoded and encoded off the event loop

    max_body_bytes: int = 16_777_216  # largest request body
    max_histories: int = 256  # histories per request
    max_events: int = 4096  # events per history

    def check(self) -> ServeConfig:
        """Returns self; raises ValueError naming the first setting that cannot be used."""
        least = {
            "replicas": 1, "num_cpus": 0, "num_gpus": 0, "threads": 0, "max_ongoing_requests": 1, "drain_s": 0,
            "token_budget": 0, "queue_tokens": 1, "inline_bytes": 0, "max_body_bytes": 1, "max_histories": 1,
            "max_events": 1,
        }  # fmt: skip
        for name, bound in least.items():
            if (value := getattr(self, name)) < bound:
                raise ValueError(f"{name}: found {value}, expected at least {bound}; raise {name}")
        for name in ("deadline_s", "target_load"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: found {getattr(self, name)}, expected more than 0; raise {name}")
        for name, known in (("provider", ("cpu", "cuda")), ("precision", ("fp32", "fp16"))):
            if (chosen := getattr(self, name)) not in known:
                raise ValueError(f"{name}: found {chosen!r}, expected one of {', '.join(known)}; correct {name}")
        if self.port is not None and not 0 <= self.port <= 65_535:
            raise ValueError(f"port: found {self.port}, expected 0 (a free one) to 65535, or null; correct port")
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(
                f"max_replicas: found {self.max_replicas}, expected at least replicas={self.replicas}; raise it"
            )
        return self


def load(settings: Mapping[str, Any]) -> ServeConfig:
    """Typed and checked settings from names and values, which may be strings; ValueError names what is wrong."""
    try:
        # serve run passes every value as a string, null too.
        plain = {name: None if value == "null" else value for name, value in settings.items()}
        merged = OmegaConf.merge(OmegaConf.structured(ServeConfig), plain)
        if OmegaConf.is_missing(merged, "bundle"):
            raise ValueError("bundle: found nothing, expected the folder of a bundle; give bundle=path/to/bundle")
        config = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        what = f"{error.full_key or 'settings'}: {str(error).splitlines()[0]}"
        raise ValueError(f"{what}; correct or remove it") from error
    assert isinstance(config, ServeConfig)
    return config.check()
