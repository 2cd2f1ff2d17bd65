"""The generic table: CSV, JSONL and Parquet give the same events, columns are typed once, bad rows are set aside."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forewarn.events import DataConfig, Event, EventError, InputsConfig, Quarantine, open_histories, read_events
from forewarn.events.writing import write_events

HEAD = "customer_id,type,occurred_at"


def read(path: Path, **settings: Any) -> list[Event]:
    return list(read_events(DataConfig(events=str(path), **settings)))


def table(folder: Path, *lines: str, name: str = "events.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_columns_are_fields_and_every_other_column_is_an_attribute(fixtures: Path) -> None:
    first, reply, parcel, status = read(fixtures / "tickets.csv")
    assert first.text == 'Hello, the "router" is down,\nsince yesterday.'
    assert first.attributes == {"product": "router", "plan_code": "007", "sentiment": -0.4}
    assert reply.occurred_at == datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    assert reply.ingested_at == datetime(2026, 3, 1, 11, tzinfo=UTC)
    assert (parcel.customer_id, parcel.attributes) == ("bob", {"plan_code": "A12", "sentiment": 0.1})
    assert (status.text, status.source) == (None, "table")


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz", "t.parquet"])
def test_every_format_gives_the_same_events(fixtures: Path, tmp_path: Path, name: str) -> None:
    events = read(fixtures / "tickets.csv")
    assert write_events(events, tmp_path / name) == 4
    assert read(tmp_path / name) == events


def test_gzip_tab_and_other_delimiters_and_encodings_are_read(fixtures: Path, tmp_path: Path) -> None:
    csv = (fixtures / "tickets.csv").read_bytes()
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(csv))
    assert read(tmp_path / "t.csv.gz") == read(fixtures / "tickets.csv")
    tabs = table(tmp_path, "customer_id\ttype\toccurred_at", "ada\tx\t2026-01-01", name="t.tsv")
    assert read(tabs)[0].customer_id == "ada"
    german = tmp_path / "german.csv"
    german.write_bytes("customer_id;type;occurred_at;ort\nada;x;2026-01-01;Köln\n".encode("latin-1"))
    assert read(german, options={"delimiter": ";", "encoding": "latin-1"})[0].attributes == {"ort": "Köln"}
    with pytest.raises(ValueError, match=r"found bytes that are no utf-8.* data.options.encoding"):
        read(german, options={"delimiter": ";"})


def test_a_byte_order_mark_and_blank_lines_and_unnamed_columns_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "excel.csv"
    path.write_bytes(f"\ufeff,{HEAD}\r\n0,ada,x,2026-01-01\r\n\r\n1,bob,x,2026-01-02\r\n".encode())
    assert [(e.customer_id, e.attributes) for e in read(path)] == [("ada", {}), ("bob", {})]


class TestTypes:
    def test_a_column_is_numeric_only_when_every_value_is_a_number(self, tmp_path: Path) -> None:
        rows = ["ada,x,2026-01-01,1,007", "ada,x,2026-01-02,,12", "bob,x,2026-01-03, 2.5e1,A1"]
        events = read(table(tmp_path, f"{HEAD},amount,code", *rows))
        assert [e.attributes.get("amount") for e in events] == [1.0, None, 25.0]
        assert [e.attributes["code"] for e in events] == ["007", "12", "A1"]

    def test_the_verdict_counts_all_files(self, tmp_path: Path) -> None:
        table(tmp_path, f"{HEAD},code", "ada,x,2026-01-01,7", name="1.csv")
        table(tmp_path, f"{HEAD},code", "ada,x,2026-01-01,seven", name="2.csv")
        assert [e.attributes["code"] for e in read(tmp_path / "*.csv")] == ["7", "seven"]

    def test_the_verdict_counts_all_rows(self, tmp_path: Path) -> None:
        rows = [f"ada,x,2026-01-01,{n}" for n in range(20_001)]
        events = read(table(tmp_path, f"{HEAD},code", *rows, "ada,x,2026-01-01,last"))
        assert events[0].attributes["code"] == "0"

    def test_configuration_forces_a_column_to_be_categorical(self, tmp_path: Path) -> None:
        csv = table(tmp_path, f"{HEAD},code", "ada,x,2026-01-01,007")
        jsonl = tmp_path / "t.jsonl"
        jsonl.write_text('{"customer_id": "ada", "type": "x", "occurred_at": "2026-01-01", "code": 7}\n')
        inputs = InputsConfig(categorical=["code"])
        assert read(csv, inputs=inputs)[0].attributes == {"code": "007"}
        assert read(jsonl, inputs=inputs)[0].attributes == {"code": "7"}

    def test_a_column_forced_to_be_numeric_makes_other_values_bad_rows(self, tmp_path: Path) -> None:
        path = table(tmp_path, f"{HEAD},sentiment", "ada,x,2026-01-01,0.5", "ada,x,2026-01-01,n/a")
        with pytest.raises(EventError, match=r"events.csv:3: sentiment: found 'n/a', expected a number"):
            read(path, inputs=InputsConfig(numeric=["sentiment"]))
        events = read(path, inputs=InputsConfig(numeric=["sentiment"]), options={"missing": ["n/a"]})
        assert [e.attributes for e in events] == [{"sentiment": 0.5}, {}]

    def test_ids_and_labels_are_never_numbers(self, tmp_path: Path) -> None:
        event = read(table(tmp_path, "customer_id,type,occurred_at,case_id,text", "0042,7,2026-01-01,1,2026"))[0]
        assert (event.customer_id, event.type, event.case_id, event.text) == ("0042", "7", "1", "2026")

    def test_truth_values_are_one_category_in_every_format(self, tmp_path: Path) -> None:
        csv = table(tmp_path, f"{HEAD},vip,note", "ada,x,2026-01-01,True,TRUE", "ada,x,2026-01-02,FALSE,no")
        jsonl = table(
            tmp_path,
            '{"customer_id": "ada", "type": "x", "occurred_at": "2026-01-01", "vip": true, "note": "TRUE"}',
            '{"customer_id": "ada", "type": "x", "occurred_at": "2026-01-02", "vip": false, "note": "no"}',
            name="e.jsonl",
        )
        for inputs in (InputsConfig(), InputsConfig(categorical=["vip"])):
            for path in (csv, jsonl):
                found = [e.attributes for e in read(path, inputs=inputs)]
                assert found == [{"vip": "true", "note": "TRUE"}, {"vip": "false", "note": "no"}]

    def test_long_codes_stay_apart_in_every_format(self, tmp_path: Path) -> None:
        codes = [1234567, 1234568, 202600000000000001, 202600000000000002]
        rows = [{"customer_id": "ada", "type": "x", "occurred_at": f"2026-01-0{i + 1}", "n": i} for i in range(4)]
        frame = pl.DataFrame([row | {"code": code} for row, code in zip(rows, codes, strict=True)])
        frame.write_csv(tmp_path / "t.csv")
        frame.write_parquet(tmp_path / "t.parquet")
        frame.write_ndjson(tmp_path / "t.jsonl")
        for name in ("t.csv", "t.parquet", "t.jsonl"):
            events = read(tmp_path / name, inputs=InputsConfig(categorical=["code"]))
            assert [e.attributes["code"] for e in events] == [str(code) for code in codes]

    def test_a_missing_code_is_missing_also_where_parquet_holds_floats(self, tmp_path: Path) -> None:
        moment = datetime(2026, 3, 1, 9)
        frame = pl.DataFrame({"customer_id": "a", "type": "x", "occurred_at": moment, "code": [7.0, float("nan")]})
        frame.write_parquet(tmp_path / "t.parquet")
        events = read(tmp_path / "t.parquet", inputs=InputsConfig(categorical=["code"]))
        assert [e.attributes for e in events] == [{"code": "7"}, {}]

    def test_parquet_keeps_its_types(self, tmp_path: Path) -> None:
        frame = pl.DataFrame({"customer_id": [7], "type": ["x"], "amount": [3], "vip": [True], "tags": [["b", "a"]]})
        moment = pl.Series("occurred_at", [datetime(2026, 3, 1, 9)]).cast(pl.Datetime("ns"))
        frame.with_columns(moment).write_parquet(tmp_path / "t.parquet")
        event = read(tmp_path / "t.parquet")[0]
        assert event.occurred_at == datetime(2026, 3, 1, 9, tzinfo=UTC)
        assert (event.customer_id, event.attributes) == ("7", {"amount": 3.0, "vip": "true", "tags": "a|b"})


class TestColumns:
    def test_columns_can_be_mapped_and_one_column_can_serve_two_fields(self, tmp_path: Path) -> None:
        path = table(tmp_path, "case,act,when,who", "k1,open,2026-01-01,ada")
        columns = {"customer_id": "case", "case_id": "case", "type": "act", "occurred_at": "when", "agent": "who"}
        event = read(path, columns=columns)[0]
        assert (event.customer_id, event.case_id, event.type, event.attributes) == (
            "k1",
            "k1",
            "open",
            {"agent": "ada"},
        )

    def test_a_mapped_column_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        path = table(tmp_path, HEAD, "ada,x,2026-01-01")
        with pytest.raises(ValueError, match=r"data.columns.type: found no column 'activity' .* customer_id, type"):
            read(path, columns={"type": "activity"})
        assert read(path, columns={"channel": "channel"})[0].channel is None

    def test_a_mapped_field_that_is_also_a_column_is_ambiguous(self, tmp_path: Path) -> None:
        path = table(tmp_path, f"{HEAD},activity", "ada,incident,2026-01-01,open")
        with pytest.raises(ValueError, match=r"\+data.columns.file_type=type"):
            read(path, columns={"type": "activity"})
        event = read(path, columns={"type": "activity", "file_type": "type"})[0]
        assert (event.type, event.attributes) == ("open", {"file_type": "incident"})

    @pytest.mark.parametrize(
        ("layout", "written"),
        [("%d/%m/%Y %H:%M", "1/3/2026 09:30"), ("epoch_s", "1772357400"), ("epoch_ms", "1772357400000")],
    )
    def test_times_are_read_in_the_configured_layout(self, tmp_path: Path, layout: str, written: str) -> None:
        path = table(tmp_path, HEAD, f"ada,x,{written}")
        assert read(path, time_format=layout)[0].occurred_at == datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
        bad = table(tmp_path, HEAD, "ada,x,tomorrow", name="bad.csv")
        with pytest.raises(EventError, match=r"occurred_at: found 'tomorrow', expected a time written as data.time_f"):
            read(bad, time_format=layout)

    def test_without_a_clock_events_of_a_history_follow_file_order_a_second_apart(self, tmp_path: Path) -> None:
        path = table(tmp_path, "customer_id,type", "ada,a", "bob,x", "ada,b", "ada,c")
        store = open_histories(DataConfig(events=str(path), clock="none"), tmp_path / "store")
        ada = next(history for history in store if history.history_id == "ada")
        assert [e.type for e in ada.events] == ["a", "b", "c"]
        assert [(b.occurred_at - a.occurred_at).total_seconds() for a, b in pairwise(ada.events)] == [1, 1]


class TestKeys:
    @pytest.mark.parametrize("keys", [["007", "7"], ["202600000000000001", "202600000000000002"], ["1e3", "1000"]])
    def test_an_attribute_that_makes_histories_is_text(self, tmp_path: Path, keys: list[str]) -> None:
        path = table(tmp_path, f"{HEAD},house", *(f"ada,x,2026-01-01,{key}" for key in keys))
        store = open_histories(DataConfig(events=str(path), by="house"), tmp_path / "store")
        assert {history.history_id for history in store} == set(keys)

    def test_long_numbers_make_the_same_histories_in_json_and_parquet(self, tmp_path: Path) -> None:
        keys = [202600000000000001, 202600000000000002, 7]
        frame = pl.DataFrame({"customer_id": "ada", "type": "x", "occurred_at": "2026-01-01", "house": keys})
        frame.write_parquet(tmp_path / "t.parquet")
        frame.write_ndjson(tmp_path / "t.jsonl")
        for name in ("t.parquet", "t.jsonl"):
            store = open_histories(DataConfig(events=str(tmp_path / name), by="house"), tmp_path / "store")
            assert {history.history_id for history in store} == {str(key) for key in keys}

    @pytest.mark.parametrize("by", ["case_id", "house"])
    def test_a_row_without_the_key_is_named_by_file_and_line(self, tmp_path: Path, by: str) -> None:
        path = table(tmp_path, f"{HEAD},{by}", "ada,x,2026-01-01,1", "bob,y,2026-01-01,")
        cfg = DataConfig(events=str(path), by=by)
        with pytest.raises(EventError, match=rf"events.csv:3: {by}: found nothing, expected a value in every event"):
            open_histories(cfg, tmp_path / "store")
        cfg.errors = "lenient"
        assert open_histories(cfg, tmp_path / "store").counts["quarantined"] == 1
        (aside,) = [json.loads(line) for line in (tmp_path / "store.quarantine.jsonl").read_text().splitlines()]
        assert (aside["file"], aside["line"], aside["row"]["customer_id"]) == (str(path), 3, "bob")


class TestBadRows:
    LINES = (
        f"event_id,{HEAD},text",
        'e1,ada,x,2026-01-01,"two\nlines"',
        "e2,,x,2026-01-01,",
        "e3,bob,x,soon,",
        "e4,bob,x,2026-01-01",
        'e5,bob,x,2026-01-01,"quote" trouble',
        "e6,eve,x,2026-01-01,fine",
    )

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            (2, r"events.csv:4: customer_id: found nothing, expected a value"),
            (3, r"events.csv:4: occurred_at: found 'soon', expected a time"),
            (4, r"events.csv:4: row: found '4 cells', expected 5 cells"),
            (5, r"events.csv:4: row: found .*expected after.*quote cells"),
        ],
    )
    def test_strict_mode_stops_with_file_line_field_found_and_expected(
        self, tmp_path: Path, bad: int, message: str
    ) -> None:
        path = table(tmp_path, *self.LINES[:2], self.LINES[bad])
        with pytest.raises(EventError, match=message):
            read(path)

    def test_lenient_mode_sets_rows_aside_and_counts_them(self, tmp_path: Path) -> None:
        cfg = DataConfig(events=str(table(tmp_path, *self.LINES)), errors="lenient")
        store = open_histories(cfg, tmp_path / "store")
        assert store.counts == {"events": 2, "histories": 2, "duplicates": 0, "out_of_order": 0, "quarantined": 4}
        aside = [json.loads(line) for line in (tmp_path / "store.quarantine.jsonl").read_text().splitlines()]
        assert [(entry["line"], entry["field"]) for entry in aside] == [
            (4, "customer_id"),
            (5, "occurred_at"),
            (6, "row"),
            (7, "row"),
        ]
        assert aside[1]["found"] == "'soon'"
        assert aside[1]["row"]["event_id"] == "e3"
        assert aside[0]["file"].endswith("events.csv")

    def test_a_quarantine_of_an_earlier_run_does_not_stay(self, tmp_path: Path) -> None:
        (tmp_path / "old.jsonl").write_text("{}\n")
        with Quarantine(tmp_path / "old.jsonl"):
            pass
        assert not (tmp_path / "old.jsonl").exists()

    def test_only_bad_rows_are_an_error_that_points_to_the_quarantine(self, tmp_path: Path) -> None:
        path = table(tmp_path, HEAD, ",x,2026-01-01")
        with pytest.raises(ValueError, match=r"all 1 rows were set aside in .*store.quarantine.jsonl"):
            open_histories(DataConfig(events=str(path), errors="lenient"), tmp_path / "store")

    @pytest.mark.parametrize("line", ["not json", "[1, 2]", '"text"', "{"])
    def test_a_line_that_is_no_json_object_is_a_bad_row(self, tmp_path: Path, line: str) -> None:
        good = '{"customer_id": "ada", "type": "x", "occurred_at": "2026-01-01"}'
        path = table(tmp_path, good, line, "", good, name="events.jsonl")
        with pytest.raises(EventError, match=r"events.jsonl:2: row: .*expected a JSON object"):
            read(path)
        with Quarantine(tmp_path / "aside.jsonl") as quarantine:
            events = list(read_events(DataConfig(events=str(path)), quarantine))
        assert [e.event_id for e in events] == ["events.jsonl:1", "events.jsonl:4"]


class TestUnusableFiles:
    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("e.csv", b"", "found an empty file"),
            ("e.jsonl", b"\n", "found an empty file"),
            ("e.csv", b"customer_id,type,type\n", "found the column 'type' twice"),
            ("e.csv.gz", b"no gzip", "found a damaged archive"),
            ("e.csv.gz", gzip.compress(b"customer_id,type\n" * 99)[:-20], "found a damaged archive"),
            ("e.parquet", b"no parquet", "found no Parquet file"),
            ("e.json", b"{", "no JSON document"),
            ("e.xlsx", b"", "found the file type '.xlsx', expected one of .csv"),
        ],
    )
    def test_the_file_and_the_trouble_are_named(self, tmp_path: Path, name: str, content: bytes, message: str) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message) as caught:
            read(tmp_path / name)
        assert name in str(caught.value)

    def test_a_table_without_a_needed_column_is_told_with_its_columns(self, tmp_path: Path) -> None:
        semicolons = table(tmp_path, HEAD.replace(",", ";"), "ada;x;2026-01-01")
        with pytest.raises(ValueError, match=r"no column 'customer_id'.* customer_id;type;occurred_at; .*delimiter="):
            read(semicolons)
        nameless = table(tmp_path, "customer_id,kind,occurred_at", "ada,x,2026-01-01")
        with pytest.raises(ValueError, match=r"events.csv: found no column 'type', .* kind, .* data.columns.type=NAME"):
            read(nameless)

    def test_a_damaged_page_of_a_parquet_file_is_named(self, tmp_path: Path) -> None:
        rows = {"customer_id": [f"c{i}" for i in range(9_000)], "type": "x", "occurred_at": datetime(2026, 1, 1)}
        path = tmp_path / "e.parquet"
        pl.DataFrame(rows).write_parquet(path)
        damaged = bytearray(path.read_bytes())
        damaged[4:2_000] = bytes(1_996)
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"e.parquet: found a damaged Parquet file after row 0"):
            read(path)


class TestIds:
    def test_rows_with_the_same_source_and_id_are_one_event(self, tmp_path: Path) -> None:
        rows = ["e1,ada,x,2026-01-01", "e2,ada,x,2026-01-02", "e1,ada,x,2026-01-01"]
        path = table(tmp_path, f"event_id,{HEAD}", *rows)
        assert open_histories(DataConfig(events=str(path)), tmp_path / "store").counts["duplicates"] == 1

    def test_rows_without_ids_are_events_of_their_own_across_files_of_one_name(self, tmp_path: Path) -> None:
        for day in ("monday", "tuesday"):
            (tmp_path / day).mkdir()
            table(tmp_path / day, HEAD, "ada,x,2026-01-01", "ada,x,2026-01-01")
        store = open_histories(DataConfig(events="*/events.csv", root=str(tmp_path)), tmp_path / "store")
        assert (store.counts["events"], store.counts["duplicates"]) == (4, 0)


cells = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(str.strip)
amounts = st.floats(allow_nan=False, allow_infinity=False, width=32)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(cells, amounts, st.text("ab\n\"',;", max_size=6)), min_size=1, max_size=8), st.randoms())
def test_any_table_gives_the_same_histories_from_csv_jsonl_and_parquet_in_any_order(
    tmp_path: Path, rows: list[tuple[str, float, str]], random: Any
) -> None:
    records = [
        {
            "event_id": f"e{number}",
            "customer_id": customer,
            "type": "usage.session",
            "occurred_at": f"2026-01-01T00:{number:02d}:00Z",
            "text": text,
            "amount": amount,
            "note": f"note {customer}",
        }
        for number, (customer, amount, text) in enumerate(rows)
    ]
    frame = pl.DataFrame(records)
    shuffled = random.sample(records, len(records))
    frame.write_csv(tmp_path / "t.csv")
    frame.write_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(record) for record in shuffled))
    prints = {
        open_histories(DataConfig(events=str(tmp_path / name)), tmp_path / "store").fingerprint
        for name in ("t.csv", "t.parquet", "t.jsonl")
    }
    assert len(prints) == 1
