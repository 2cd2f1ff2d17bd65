"""The published SLA protocol on the real ServiceNow log gives the published counts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import yaml

from forewarn.events.config import DataConfig
from forewarn.events.histories import HistoryStore
from forewarn.events.sources import open_histories
from forewarn.targets import (
    HazardLabels,
    ProtocolConfig,
    SplitAssignment,
    TargetSpec,
    assign_splits,
    label_history,
    summarise,
)

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def incidents(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> HistoryStore:
    data = DataConfig(
        reader="uci_servicenow", root=str(data_root), events="uci_servicenow/incident_event_log.zip", by="case_id"
    )
    return open_histories(data, tmp_path_factory.mktemp("uci") / "store")


@pytest.fixture(scope="module")
def protocol(repository: Path) -> ProtocolConfig:
    return ProtocolConfig(**yaml.safe_load((repository / "conf" / "protocol" / "kairos.yaml").read_text()))


@pytest.fixture(scope="module")
def split(incidents: HistoryStore, protocol: ProtocolConfig) -> SplitAssignment:
    spec = TargetSpec.load("sla_miss")
    return assign_splits([summary for h in incidents for summary in summarise(h, spec, protocol)], protocol)


def first_prefixes(
    incidents: HistoryStore, split: SplitAssignment, protocol: ProtocolConfig, target: str, kinds: set[str]
) -> np.ndarray:
    spec, found = TargetSpec.load(target), []
    for history in incidents:
        if split.split.get(history.history_id) in kinds:
            labels = label_history(spec, history, observed_until=split.observed_until(history.history_id))[target]
            assert isinstance(labels, HazardLabels)
            assert labels.at_risk.all()
            found.append(labels.onset[: protocol.max_prefix, 0])
    return np.concatenate(found)


def test_the_cut_and_the_incidents_are_the_published_ones(split: SplitAssignment) -> None:
    assert sum(split.counts.values()) == 23_102
    assert split.cut == datetime(2016, 5, 6, 10, 1, 30, tzinfo=UTC)
    assert split.counts["test"] == 5_776
    # Still open at the cut: the last event of all, the closing, lies at or after it.
    assert split.counts["dropped_straddling"] == 2_907


def test_the_prefixes_and_base_rates_are_the_published_ones(
    incidents: HistoryStore, split: SplitAssignment, protocol: ProtocolConfig
) -> None:
    test = first_prefixes(incidents, split, protocol, "sla_miss", {"test"})
    modelling = first_prefixes(incidents, split, protocol, "sla_miss", {"train", "valid"})
    assert (len(test), round(float(test.mean()), 3)) == (17_477, 0.400)
    assert (len(modelling), round(float(modelling.mean()), 3)) == (52_213, 0.568)


def test_further_reassignment_has_its_published_base_rate(
    incidents: HistoryStore, split: SplitAssignment, protocol: ProtocolConfig
) -> None:
    test = first_prefixes(incidents, split, protocol, "reassignment", {"test"})
    assert (len(test), round(float(test.mean()), 3)) == (17_477, 0.364)
