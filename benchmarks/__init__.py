"""Suites that measure the service against the raw runtime in one run, and the reports they write."""

from __future__ import annotations
