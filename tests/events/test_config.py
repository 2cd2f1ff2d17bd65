"""A data config says what is wrong with it, and what to do about a data set that is not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from forewarn.events import DataConfig, InputsConfig, given_splits, open_histories, read_events, readers


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (
            DataConfig(reader="xml"),
            r"data.reader: found 'xml', expected one of cloudevents, helpdesk, simulator, table",
        ),
        (DataConfig(clock="sundial"), r"data.clock: found 'sundial'"),
        (DataConfig(errors="ignore"), r"data.errors: found 'ignore', expected one of strict, lenient"),
        (DataConfig(inputs=InputsConfig(numeric="age")), r"data.inputs.numeric: found 'age'"),
        (DataConfig(), r"data.events: found nothing"),
        (DataConfig(events="nowhere/*.csv"), r"data.events: found no file nowhere/\*.csv"),
        (DataConfig(reader="files"), r"data.reader: found 'files', expected one of cloudevents"),
        (DataConfig(reader="simulator", options={"planets": 3}), r"data.options.planets: found an unknown option"),
        (DataConfig(events="x.csv", options={"delimitr": ";"}), r"data.options.delimitr: .* did you mean delimiter\?"),
        (DataConfig(reader="cloudevents", options={"encodng": "x"}), r"data.options.encodng: .* did you mean encoding"),
        (DataConfig(reader="uss", options={"datset": "sgd"}), r"data.options.datset: .* did you mean dataset"),
        (DataConfig(reader="helpdesk", options={"missing": []}), r"expected one of none for the reader helpdesk"),
        (DataConfig(reader="uci_servicenow", options={"x": 1}), r"expected one of none for the reader uci_servicenow"),
        (DataConfig(reader="simulator", options={"customers": "many"}), r"data.options.customers: found 'many'"),
        (DataConfig(reader="simulator", options={"customers": 0}), r"data.options.customers: found 0"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(cfg: DataConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(read_events(cfg))


@pytest.mark.parametrize("delimiter", ["||", "", 5, '"'])
def test_a_delimiter_is_one_character(tmp_path: Path, delimiter: object) -> None:
    (tmp_path / "events.csv").write_text("customer_id,type,occurred_at\nada,x,2026-01-01\n")
    cfg = DataConfig(events=str(tmp_path / "events.csv"), options={"delimiter": delimiter})
    with pytest.raises(ValueError, match=r"data.options.delimiter: found .*, expected one character"):
        list(read_events(cfg))


@pytest.mark.parametrize("encoding", ["utf-99", "base64"])
def test_an_encoding_that_does_not_exist_is_named(tmp_path: Path, encoding: str) -> None:
    for name in ("events.csv", "events.jsonl"):
        (tmp_path / name).write_text("customer_id,type,occurred_at\n")
        cfg = DataConfig(events=str(tmp_path / name), options={"encoding": encoding})
        with pytest.raises(ValueError, match=f"data.options.encoding: found '{encoding}', expected an encoding"):
            list(read_events(cfg))


def test_a_new_reader_is_one_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pigeon.py").write_text("OPTIONS = ()\ndef read(paths, cfg, quarantine):\n    return iter(['coo'])\n")
    (tmp_path / "events.csv").touch()
    monkeypatch.setattr(readers, "__path__", [*readers.__path__, str(tmp_path)])
    assert list(read_events(DataConfig(reader="pigeon", events=str(tmp_path / "events.csv")))) == ["coo"]


def test_a_missing_public_file_says_where_it_is_published_and_where_to_put_it(tmp_path: Path) -> None:
    cfg = DataConfig(events="log.zip", root=str(tmp_path), homepage="https://example.org/log")
    with pytest.raises(ValueError, match=r"published at https://example.org/log") as caught:
        cfg.event_files()
    assert f"Put the original file at {tmp_path / 'log.zip'}" in str(caught.value)
    assert "FOREWARN_DATA" in str(caught.value)


def test_lists_and_globs_expand_in_order(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "c.jsonl"):
        (tmp_path / name).touch()
    cfg = DataConfig(events=["c.jsonl", "*.csv"], root=str(tmp_path))
    assert [path.name for path in cfg.event_files()] == ["c.jsonl", "a.csv", "b.csv"]


def test_a_folder_is_not_taken_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name them with a glob"):
        DataConfig(events=str(tmp_path)).event_files()


def test_the_quarantine_lies_beside_the_store_unless_configured(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text(
        '{"customer_id": "ada", "type": "x", "occurred_at": "2026-01-01"}\n{"type": "x"}\n'
    )
    cfg = DataConfig(events=str(tmp_path / "events.jsonl"), errors="lenient")
    assert open_histories(cfg, tmp_path / "store").counts["quarantined"] == 1
    assert (tmp_path / "store.quarantine.jsonl").exists()
    cfg.quarantine = str(tmp_path / "aside" / "bad.jsonl")
    open_histories(cfg, tmp_path / "store")
    assert (tmp_path / "aside" / "bad.jsonl").exists()


@pytest.mark.parametrize("key", ["customer_id", "history_id"])
def test_given_splits_are_read_from_a_table(tmp_path: Path, key: str) -> None:
    (tmp_path / "splits.csv").write_text(f"{key},split\n007,train\nbob,validation\neve,test\n")
    cfg = DataConfig(splits="splits.csv", root=str(tmp_path))
    assert given_splits(cfg) == {"007": "train", "bob": "valid", "eve": "test"}
    assert given_splits(DataConfig()) is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("customer_id,split\nada,holdout\n", r"splits.csv:2: found .*holdout"),
        ("customer_id,split\nada,train\nada,test\n", r"splits.csv:3: found ada in test and in train"),
        ("name,split\nada,train\n", r"expected customer_id \(or history_id\) and split"),
    ],
)
def test_a_split_file_that_cannot_be_used_is_named(tmp_path: Path, rows: str, message: str) -> None:
    (tmp_path / "splits.csv").write_text(rows)
    with pytest.raises(ValueError, match=message):
        given_splits(DataConfig(splits="splits.csv", root=str(tmp_path)))


def test_a_missing_split_file_and_an_official_split_that_does_not_exist_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data.splits: found no file"):
        given_splits(DataConfig(splits="none.csv", root=str(tmp_path)))
    with pytest.raises(ValueError, match=r"the reader table knows no published split"):
        given_splits(DataConfig(splits="official", events="x.csv"))


def test_importing_the_room_loads_no_table_library() -> None:
    """Serving imports it at start-up and reads no files."""
    loaded = "import sys, forewarn.events; print(*({'polars', 'pyarrow', 'pandas', 'torch'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
