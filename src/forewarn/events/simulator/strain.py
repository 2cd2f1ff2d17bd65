"""The true hazard: a customer's strain over time and the exact time at which it breaks into an escalation.

With s growing by w an hour (a reply is awaited) the hazard scale * s**p integrates over x hours to
scale * ((s + w x)**(p+1) - s**(p+1)) / ((p+1) w); with s fading as exp(-x / tau) it integrates to
scale * s**p * tau / p * (1 - exp(-p x / tau)). Both invert in closed form, so an onset needs no time steps.
"""

from __future__ import annotations

import math

POWER = 3
FADING_HOURS = 240.0


class Strain:
    """Strain ``level``, the hazard ``spent`` so far, and the unit-exponential ``limit`` at which an onset falls."""

    def __init__(self, scale: float, level: float, limit: float) -> None:
        self.scale = scale
        self.level = level
        self.spent = 0.0
        self.limit = limit

    @property
    def hazard(self) -> float:
        """Onsets per hour at this moment."""
        return self.scale * float(self.level**POWER)

    def pass_time(self, hours: float, growth: float = 0.0) -> float | None:
        """Move on by hours, strain growing by ``growth`` an hour or, at 0, fading.

        Returns None, or the hours after which the onset falls; the strain then stands at the onset.
        """
        spent = self._integral(hours, growth)
        if self.spent + spent < self.limit:
            self.spent += spent
            self.level = self._level_after(hours, growth)
            return None
        until = min(hours, self._inverse(self.limit - self.spent, growth))
        self.spent = self.limit
        self.level = self._level_after(until, growth)
        return until

    def jump(self, by: float) -> None:
        """Raise the strain at once."""
        self.level += by

    def relieve(self, keep: float) -> None:
        """Keep a part of the strain."""
        self.level *= keep

    def begin_episode(self, limit: float) -> None:
        """Draw up to the next onset: its limit counts from the hazard spent so far."""
        self.limit = self.spent + limit

    def _level_after(self, hours: float, growth: float) -> float:
        return self.level + growth * hours if growth else self.level * math.exp(-hours / FADING_HOURS)

    def _integral(self, hours: float, growth: float) -> float:
        if growth:
            grown: float = (self.level + growth * hours) ** (POWER + 1) - self.level ** (POWER + 1)
            return self.scale * grown / ((POWER + 1) * growth)
        return self.hazard * FADING_HOURS / POWER * -math.expm1(-POWER * hours / FADING_HOURS)

    def _inverse(self, area: float, growth: float) -> float:
        if growth:
            reached: float = self.level ** (POWER + 1) + (POWER + 1) * growth * area / self.scale
            root: float = reached ** (1 / (POWER + 1))
            return (root - self.level) / growth
        # Rounding may push the share of the whole area to 1, where the time would be infinite; the caller caps it.
        share = min(area * POWER / (self.hazard * FADING_HOURS), 1 - 1e-12)
        return -FADING_HOURS / POWER * math.log1p(-share)
