"""`python -m serving.run bundle=…`: serve a bundle over HTTP until Ctrl-C or SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from types import FrameType
from typing import cast

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from serving.config import ServeConfig, load
from serving.service import start

ConfigStore.instance().store(name="serve_schema", node=ServeConfig)


@hydra.main(version_base=None, config_path="../conf", config_name="serve")
def main(config: DictConfig) -> None:
    """Starts the service, says where it listens, and stops it in an orderly way."""
    try:
        serve(load(cast(dict[str, object], OmegaConf.to_container(config))))
    except (ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:  # before the service was up; later a signal ends `serve`
        raise SystemExit(130) from None


def serve(config: ServeConfig) -> None:
    """Runs the service until a signal; the last line on stdout before that is one JSON object."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        # The second one ends the process at once, draining or not.
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    with start(config) as service:
        # Only now: Ray sets handlers of its own while it starts.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, on_signal)
        print(
            f"forewarn listens on {service.url} (documentation at {service.url}/docs); "
            f"ready {service.forewarn_s:.1f} s after Ray, which took {service.ray_s:.1f} s. Ctrl-C stops it."
        )
        facts = {
            "url": service.url,
            "bundle": config.bundle,
            "model_hash": service.model_hash,
            "pid": os.getpid(),
            "ray_s": round(service.ray_s, 2),
            "ready_s": round(service.forewarn_s, 2),
        }
        print(json.dumps(facts), flush=True)
        stop.wait()
        print("stopping: finishing the requests that were accepted", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
