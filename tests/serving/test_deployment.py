"""The Ray Serve application: what it asks of Ray, and the ways a cluster gets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve._private.build_app import build_app
from ray.serve.config import AutoscalingConfig, AutoscalingContext
from ray.serve.schema import ServeDeploySchema

from serving.autoscaling import METRIC, replicas_for_load
from serving.deployment import NAME, build


def deployment_of(**settings: Any) -> Any:
    (deployment,) = build_app(build({"bundle": "b", **settings}), name="app").deployments
    return deployment


def test_gpu_and_replicas_are_settings() -> None:
    deployment = deployment_of(num_gpus="1", num_cpus="2", replicas="3", max_ongoing_requests="7")
    assert deployment.name == NAME
    assert deployment.num_replicas == 3
    assert deployment.max_ongoing_requests == 7
    assert deployment.ray_actor_options["num_gpus"] == 1
    assert deployment.ray_actor_options["num_cpus"] == 2


def test_a_stopping_replica_gets_the_time_to_drain() -> None:
    assert deployment_of(drain_s=7)._deployment_config.graceful_shutdown_timeout_s > 7


def test_max_replicas_turns_autoscaling_on_with_the_load_the_replicas_report() -> None:
    config = deployment_of(port=8000, replicas=2, max_replicas=5, target_load=4)._deployment_config.autoscaling_config
    assert (config.min_replicas, config.max_replicas, config.get_target_ongoing_requests()) == (2, 5, 4)
    assert "replicas_for_load" in str(config.policy.policy_function)


def test_behind_serve_s_proxies_ray_counts_the_requests_itself() -> None:
    config = deployment_of(max_replicas=5)._deployment_config.autoscaling_config
    assert "replicas_for_load" not in str(config.policy.policy_function)


def test_replicas_cannot_each_listen_on_a_port_of_their_own() -> None:
    with pytest.raises(ValueError, match=r"^port: found 0, expected one port for all replicas"):
        build({"bundle": "b", "port": "0"})


@pytest.mark.parametrize(("loads", "wanted"), [([0, 0], 1), ([4, 4], 2), ([9, 0], 3), ([40, 40], 20), ([], 2)])
def test_the_policy_keeps_the_load_per_replica_at_the_target(loads: list[float], wanted: int) -> None:
    context = AutoscalingContext(
        deployment_id=None, deployment_name=NAME, app_name=NAME, current_num_replicas=2, target_num_replicas=2,
        running_replicas=[], total_num_requests=0, total_queued_requests=0,
        aggregated_metrics={METRIC: dict(enumerate(loads))} if loads else {}, raw_metrics=None,
        capacity_adjusted_min_replicas=1, capacity_adjusted_max_replicas=50, policy_state={}, last_scale_up_time=None,
        last_scale_down_time=None, current_time=0.0, config=AutoscalingConfig(target_ongoing_requests=4),
    )  # type: ignore[arg-type]  # fmt: skip
    assert replicas_for_load(context) == (wanted, {})


def test_the_example_cluster_file_is_valid_and_its_settings_are_ours(repository: Path) -> None:
    source = yaml.safe_load((repository / "serving" / "cluster.yaml").read_text())
    schema = ServeDeploySchema.model_validate(source)
    (application,) = schema.applications
    assert application.import_path == "serving.deployment:build"
    deployment = build_app(build(application.args), name="app").deployments[0]
    assert deployment.ray_actor_options["num_gpus"] == 1
    assert deployment._deployment_config.autoscaling_config.max_replicas == 8


def test_serve_build_writes_a_cluster_file_of_the_application(repository: Path, tmp_path: Path) -> None:
    written = tmp_path / "built.yaml"
    command = [Path(sys.executable).with_name("serve"), "build", "serving.deployment:application", "-o", written]
    ran = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    schema = ServeDeploySchema.model_validate(yaml.safe_load(written.read_text()))
    assert schema.applications[0].deployments[0].name == NAME
