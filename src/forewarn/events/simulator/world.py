"""What all customers share: products and their outages, agents, season and load."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from forewarn.events.config import DataConfig
from forewarn.events.record import parse_time
from forewarn.events.simulator.dice import Dice

PRODUCTS = ("router", "tv_box", "mobile", "cloud_drive", "web_shop", "payments")
DAY = 24.0
_AGENTS = 24
# Share of the busiest hour, by hour of the day and by weekday (Monday first): the shape of a consumer help desk.
_HOURS = (4, 3, 2, 2, 3, 6, 15, 35, 65, 90, 100, 95, 80, 85, 90, 85, 80, 75, 60, 50, 40, 28, 16, 8)
_WEEKDAYS = (100, 95, 90, 88, 85, 45, 35)
MEAN_SEASON = sum(_HOURS) * sum(_WEEKDAYS) / (24 * 7 * 10_000)


@dataclass(frozen=True)
class SimulatorOptions:
    """Size and seed of a simulated world."""

    customers: int = 3000
    days: int = 60  # length of the window in days
    seed: int = 7
    start: str = "2026-01-05"  # first day, ISO 8601
    hazard_scale: float = 1.8e-5  # onsets per hour at strain 1; the default lets about a tenth escalate in 60 days

    @classmethod
    def from_options(cls, cfg: DataConfig) -> SimulatorOptions:
        """The options of a data config; raises ValueError for an unknown one or one of another type."""
        defaults = {field.name: field.default for field in dataclasses.fields(cls)}
        cfg.check_options(tuple(defaults))
        return cls(**{name: cfg.option(name, default) for name, default in defaults.items()})

    def check(self) -> SimulatorOptions:
        """Return self; raises ValueError for a size or a scale that is not positive and for a start that is no time."""
        for name in ("customers", "days", "hazard_scale"):
            value = getattr(self, name)
            if value <= 0:
                raise ValueError(f"data.options.{name}: found {value}, expected more than 0; raise it")
        parse_time(self.start, "data.options.start", "simulator")
        return self

    @property
    def begins(self) -> datetime:
        """The first moment of the window."""
        return parse_time(self.start, "data.options.start", "simulator").astimezone(UTC)


class Outage(NamedTuple):
    """An incident of one product, in hours since the start; severity is the share of customers it reaches."""

    start: float
    end: float
    severity: float


class World:
    """The shared surroundings of the customers of one simulation."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        self.begins = options.begins
        self.end = options.days * DAY
        # Customers take the keys (seed, 1, number); the world has a key of its own, so it is the same for any number.
        dice = Dice(options.seed, 0)
        self.skills = [0.25 + 0.7 * dice.uniform() for _ in range(_AGENTS)]
        self.outages = {product: _outages(dice, self.end) for product in PRODUCTS}
        self._first_hour = self.begins.weekday() * 24 + self.begins.hour

    def season(self, hour: float) -> float:
        """How busy the hour is, as a share of the busiest."""
        clock = int(self._first_hour + hour)
        return _HOURS[clock % 24] * _WEEKDAYS[clock // 24 % 7] / 10_000

    def open_for_business(self, hour: float) -> bool:
        """Whether agents answer e-mail and web forms: 7 to 20 o'clock on weekdays."""
        clock = int(self._first_hour + hour)
        return 7 <= clock % 24 < 20 and clock // 24 % 7 < 5

    def load(self, hour: float, product: str) -> float:
        """Work per agent relative to a calm hour: season, and a surge while the product is out and a day after."""
        surge = sum(
            2.5 * outage.severity for outage in self.outages[product] if outage.start <= hour < outage.end + DAY
        )
        return 0.6 + 0.8 * self.season(hour) + surge


def _outages(dice: Dice, end: float) -> list[Outage]:
    outages = []
    start = dice.exponential(20 * DAY)
    while start < end:
        outages.append(Outage(start, start + dice.lognormal(6.0, 0.8), 0.15 + 0.45 * dice.uniform()))
        start += dice.exponential(20 * DAY)
    return outages
