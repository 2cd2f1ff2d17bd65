"""A bundle: whole, checked, and saying what training said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from forewarn.bundle import Bundle, Scorer, nodes_by_provider
from forewarn.events import Event, History
from forewarn.model import Scores
from forewarn.model.scores import Calibration
from forewarn.sequence import INPUT_COLUMNS, RaggedDataset, collate
from training.datamodule import encoded_row
from training.export import export_bundle, record_metrics
from training.fit import load_model
from training.onnx_export import check_parity, export_graph
from training.prepare import Prepared


@pytest.fixture(scope="module")
def scorer(tiny_bundle: Path) -> Scorer:
    return Scorer(Bundle.load(tiny_bundle), threads=1)


def test_a_bundle_holds_all_that_serving_needs(tiny_bundle: Path) -> None:
    bundle = Bundle.load(tiny_bundle)
    assert {"sequence.onnx", "featurizer.json", "target.yaml", "calibration.json", "metrics.json", "MODEL_CARD.md",
            "text/text.onnx", "text/tokenizer.json"} <= bundle.manifest.files.keys()  # fmt: skip
    assert bundle.manifest.parity["fp32"] <= 1e-4
    assert bundle.manifest.tasks[0].outputs == ["1h", "4h", "1d", "3d", "7d", "14d"]
    assert bundle.manifest.data["target_hash"] == bundle.target.hash
    assert "transformer" in bundle.manifest.metrics and "lightgbm" in bundle.manifest.metrics


@pytest.mark.parametrize("name", ["sequence.onnx", "featurizer.json", "target.yaml", "text/tokenizer.json"])
def test_a_tampered_file_is_refused_by_name(tiny_bundle: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"^{name}: found sha256"):
        Bundle.load(copy)


def test_a_missing_and_an_added_file_are_refused_by_name(tiny_bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    (copy / "extra.bin").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"^extra\.bin: found"):
        Bundle.load(copy)
    (copy / "extra.bin").rename(tmp_path / "elsewhere")
    (copy / "target.yaml").unlink()
    with pytest.raises(ValueError, match=r"^target\.yaml: missing"):
        Bundle.load(copy)


def test_a_manifest_that_lies_or_comes_from_another_version_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    manifest = json.loads((copy / "manifest.json").read_text())
    for field, value in (("model_hash", "0" * 64), ("schema_version", "999")):
        (copy / "manifest.json").write_text(json.dumps(manifest | {field: value}))
        with pytest.raises(ValueError, match=field):
            Bundle.load(copy)


def test_a_manifest_whose_outputs_or_graphs_were_renamed_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    manifest = json.loads((copy / "manifest.json").read_text())
    (task,) = manifest["tasks"]
    changes = [
        {"tasks": [task | {"outputs": ["1h", "4h", "1d", "3d", "7d", "30d"]}]},
        {"tasks": [task | {"outputs": task["outputs"][::-1]}]},
        {"tasks": [task | {"transform": "log1p"}]},
        {"tasks": [task, task]},
        {"graphs": manifest["graphs"] | {"fp16": "sequence.onnx"}},
        {"text": manifest["text"] | {"max_tokens": 1}},
    ]
    for change in changes:
        (copy / "manifest.json").write_text(json.dumps(manifest | change))
        with pytest.raises(ValueError, match=r"^manifest\.json: model_hash is not that"):
            Bundle.load(copy)
    (copy / "manifest.json").write_text(json.dumps(manifest | {"graphs": {"fp32": "../elsewhere.onnx"}}))
    with pytest.raises(ValueError, match=r"^manifest\.json: graphs: found '\.\./elsewhere\.onnx'"):
        Bundle.load(copy)


def test_a_folder_that_is_no_bundle_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"python -m training\.train"):
        Bundle.load(tmp_path)


def test_stream_batch_and_training_give_the_same_scores(
    tiny_run: Path, tiny_bundle: Path, tiny_histories: list[History], scorer: Scorer
) -> None:
    bundle = Bundle.load(tiny_bundle)
    calibration = json.loads((tiny_bundle / "calibration.json").read_text())
    network = Scores(
        load_model(tiny_run / "checkpoints" / "best.ckpt"),
        {name: Calibration(**own) for name, own in calibration.items()},
    ).eval()
    dataset = RaggedDataset(tiny_run / "data" / "encoded" / "test.arrow")
    trained = {}
    for i in range(len(dataset)):
        history_id, arrays = dataset[i]
        feed = collate([encoded_row(history_id, arrays)])
        with torch.no_grad():
            trained[history_id] = network(**{name: torch.from_numpy(array) for name, array in feed.items()})[0][0]
    batch = {h.history_id: s["escalation"] for h, s in zip(tiny_histories, scorer.score(tiny_histories), strict=True)}
    assert batch.keys() == trained.keys()
    for history_id, risk in batch.items():
        np.testing.assert_allclose(risk, trained[history_id].numpy(), atol=1e-4)
    for history in tiny_histories[:5]:
        for k in range(1, len(history.events) + 1):
            prefix = History(history.history_id, history.customer_id, history.events[:k])
            (streamed,) = scorer.score([prefix])
            np.testing.assert_allclose(streamed["escalation"][-1], batch[history.history_id][k - 1], atol=1e-4)
    assert set(INPUT_COLUMNS) - {"text_words"} == {graph_input.name for graph_input in scorer.session.get_inputs()}
    assert bundle.featurizer.text_width > 0


def test_a_poisoned_future_event_changes_no_earlier_score(tiny_histories: list[History], scorer: Scorer) -> None:
    history = max(tiny_histories, key=lambda h: len(h.events))
    last = history.events[-1]
    poison = Event(
        event_id="poison", source="x", customer_id=last.customer_id, type="social.public_complaint",
        occurred_at=last.occurred_at, ingested_at=last.ingested_at, text="I will sue you", actor="customer",
    )  # fmt: skip
    poisoned = History(history.history_id, history.customer_id, [*history.events, poison])
    (before,), (after,) = scorer.score([history]), scorer.score([poisoned])
    np.testing.assert_allclose(after["escalation"][:-1], before["escalation"], atol=1e-5)


def test_a_long_history_is_scored_on_its_newest_events(tiny_histories: list[History], scorer: Scorer) -> None:
    longest = scorer.bundle.featurizer.config.max_length
    seed = tiny_histories[0]
    many = [
        Event(**{f: getattr(event, f) for f in event.__struct_fields__} | {"event_id": f"{i}-{event.event_id}"})
        for i in range(longest // len(seed.events) + 2)
        for event in seed.events
    ]
    for length in (longest, longest + 1, len(many)):
        (encoded,) = scorer.encode([History("h", "c", many[:length])])
        assert longest // 2 < encoded.length <= longest and encoded.event_ids[-1] == many[length - 1].event_id
        assert scorer.run([encoded])[0]["escalation"].shape == (encoded.length, 6)


def test_export_refuses_a_graph_that_differs_from_torch(tiny_run: Path, tmp_path: Path) -> None:
    prepared = Prepared.load(tiny_run / "data" / "encoded")
    model = load_model(tiny_run / "checkpoints" / "best.ckpt")
    export_graph(Scores(model), tmp_path / "graph.onnx", "fp32")
    with torch.no_grad():
        next(iter(model.heads.values())).bias.add_(1.0)  # type: ignore[union-attr]
    feed = collate([encoded_row(*RaggedDataset(prepared.split("valid"))[0])])
    with pytest.raises(ValueError, match=r"graph\.onnx: differs from torch by"):
        check_parity(Scores(model), tmp_path / "graph.onnx", "fp32", [feed])


def test_a_refused_export_leaves_nothing_behind(tiny_run: Path, tmp_path: Path) -> None:
    prepared = Prepared.load(tiny_run / "data" / "encoded")
    with pytest.raises(ValueError, match="precisions: found 'int3'"):
        export_bundle(load_model(tiny_run / "checkpoints" / "best.ckpt"), prepared, tmp_path / "b", ["int3"])
    assert list(tmp_path.iterdir()) == []


def test_half_precision_stays_within_its_limit(tiny_run: Path, tmp_path: Path) -> None:
    prepared = Prepared.load(tiny_run / "data" / "encoded")
    manifest = export_bundle(
        load_model(tiny_run / "checkpoints" / "best.ckpt"), prepared, tmp_path / "b", ["fp32", "fp16"]
    )
    assert 0 < manifest.parity["fp16"] <= 1e-2
    Scorer(Bundle.load(tmp_path / "b"), precision="fp16")


def test_recording_metrics_keeps_the_model_hash(tiny_bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    before = Bundle.load(copy).model_hash
    result = {"transformer": {"escalation": {"kind": "regression", "mae": {"value": 1.5}}}}
    record_metrics(copy, result)
    again = Bundle.load(copy)
    assert again.model_hash == before and again.manifest.metrics == {"transformer": {"escalation": {"mae": 1.5}}}
    assert json.loads((copy / "metrics.json").read_text()) == result
    assert "mae 1.500" in (copy / "MODEL_CARD.md").read_text()


def test_attention_stays_one_node_per_layer_and_every_node_has_a_provider(tiny_bundle: Path, scorer: Scorer) -> None:
    encoded = RaggedDataset(tiny_bundle.parent / "data" / "encoded" / "test.arrow")[0]
    placed = nodes_by_provider(Bundle.load(tiny_bundle).graph("fp32"), "cpu", collate([encoded_row(*encoded)]))
    assert placed.keys() == {"CPUExecutionProvider"}
    assert placed["CPUExecutionProvider"]["Attention"] == scorer.bundle.manifest.model["layers"]


def test_a_provider_that_is_not_installed_is_named(tiny_bundle: Path) -> None:
    with pytest.raises(ValueError, match="provider: found 'tpu'"):
        Scorer(Bundle.load(tiny_bundle), provider="tpu")


def test_a_provider_that_onnx_runtime_drops_in_silence_is_named(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: None)
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(ValueError, match=r"^provider: found 'cuda', but the session runs on"),
    ):
        Scorer(Bundle.load(tiny_bundle), provider="cuda")
