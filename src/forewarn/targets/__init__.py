"""Targets: what is predicted, how every observation point is labelled, and which histories train and test."""

from __future__ import annotations

from forewarn.targets.cases import NO_CASE, Cases
from forewarn.targets.hazards import HazardLabels, NextOnset, label_silences, next_onset
from forewarn.targets.horizon import Horizons
from forewarn.targets.labels import TaskLabels, label_history
from forewarn.targets.predicate import Predicate, compile_predicate
from forewarn.targets.protocol import HistorySummary, ProtocolConfig, summarise, unit_id
from forewarn.targets.spec import TargetSpec
from forewarn.targets.splits import SplitAssignment, assign_splits, start_quantile
from forewarn.targets.tasks import ClassificationTask, HazardTask, RegressionTask, Task

__all__ = [
    "NO_CASE",
    "Cases",
    "ClassificationTask",
    "HazardLabels",
    "HazardTask",
    "HistorySummary",
    "Horizons",
    "NextOnset",
    "Predicate",
    "ProtocolConfig",
    "RegressionTask",
    "SplitAssignment",
    "TargetSpec",
    "Task",
    "TaskLabels",
    "assign_splits",
    "compile_predicate",
    "label_history",
    "label_silences",
    "next_onset",
    "start_quantile",
    "summarise",
    "unit_id",
]
