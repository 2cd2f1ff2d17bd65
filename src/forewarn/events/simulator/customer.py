"""One customer's story: needs, contacts, waiting, replies, silence, and the escalation when strain breaks through.

The story is told in sequence; ``pass_time`` moves the clock and the strain, and interrupts whatever is going on when an
onset falls or the window ends. That keeps the hazard in one place and lets the rest read like the course of a case.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from forewarn.events.event import Event
from forewarn.events.simulator.case import Case
from forewarn.events.simulator.dice import Dice
from forewarn.events.simulator.grammar import Writer, reply
from forewarn.events.simulator.strain import Strain
from forewarn.events.simulator.world import DAY, MEAN_SEASON, PRODUCTS, World

SOURCE = "simulator"
AFTER_ESCALATION = 0.25  # what is left of strain after an escalation that was handled
OUTAGE = 0.15  # what noticing an outage adds to strain, times temper


class Truth(NamedTuple):
    """The latent state right after an event: strain, and the hazard of an onset, 0 between onset and closure.

    ``hazard_spent`` is the integral of the hazard from the window's begin, in expected onsets.
    """

    event_id: str
    strain: float
    hazard_per_hour: float
    hazard_spent: float


class Story(NamedTuple):
    """A customer's events in order of occurrence, the truth behind each, and the hazard spent up to the window's end.

    ``hazard`` is the integral of h over the window, the expected number of onsets given all else.
    """

    events: list[Event]
    truth: list[Truth]
    hazard: float


class _Onset(Exception):  # noqa: N818 - an interruption of the story, not an error
    pass


class _WindowEnds(Exception):  # noqa: N818
    pass


def tell_story(world: World, number: int) -> Story:
    """Simulate customer ``number`` of a world."""
    customer = Customer(world, number)
    customer.live()
    return Story(customer.events, customer.truth, customer.strain.spent)


class Customer:
    """One customer living through the window; what happened is in ``events``, what was behind it in ``truth``."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.dice = dice = Dice(world.options.seed, 1, number)
        self.name = f"c{number:06d}"
        self.events: list[Event] = []
        self.truth: list[Truth] = []
        self.now = 0.0
        self.cases = 0
        self.handled = False  # between onset and closure
        self.product = dice.pick(PRODUCTS)
        self.habit = dice.pick(("chat", "email", "web", "phone"))
        self.language = dice.pick(("en-GB", "en-US"))
        self.temper = dice.lognormal(1.0, 0.45)
        self.need_rate = dice.lognormal(1 / (30 * DAY), 0.5)
        self.writer = Writer(dice, politeness=dice.uniform(), language=self.language)
        self.strain = Strain(world.options.hazard_scale, 0.3 * self.temper, dice.exponential(1.0))
        self.hits = [
            outage.start + min(dice.exponential(1.5), outage.end - outage.start)
            for outage in world.outages[self.product]
            if dice.chance(outage.severity)
        ]

    def live(self) -> None:
        """Tell the story up to the window's end."""
        try:
            while True:
                try:
                    self._until_next_need()
                except _Onset:
                    self._escalation()
        except _WindowEnds:
            return

    def pass_time(self, hours: float, growth: float = 0.0) -> None:
        """Move on; raises _Onset or _WindowEnds at the moment either falls."""
        left = self.world.end - self.now
        spell = min(hours, left)
        onset = None if self.handled else self.strain.pass_time(spell, growth)
        self.now += spell if onset is None else onset
        if onset is not None:
            raise _Onset
        if hours >= left:
            raise _WindowEnds

    def _until_next_need(self) -> None:
        need = self.now
        while True:  # thinning: needs follow the season
            need += self.dice.exponential(MEAN_SEASON / self.need_rate)
            if need > self.world.end or self.dice.chance(self.world.season(need)):
                break
        hit = next((hit for hit in self.hits if hit > self.now), None)
        if hit is not None and hit < need:
            self.pass_time(hit - self.now)
            self.tell("usage.error", actor="system", channel="in_product", product=self.product)
            self.strain.jump(OUTAGE * self.temper)
            self.pass_time(self.dice.exponential(0.5))
            if self.dice.chance(0.6):
                self._case("outage")
            return
        self.pass_time(need - self.now)
        self._case(self.dice.pick(("billing", "delivery", "defect", "defect", "login", "how_to", "how_to")))

    def _case(self, issue: str) -> None:
        case = Case(self, issue)
        case.open()
        if not case.answered_by_bot():
            case.work()
        case.survey()

    def _escalation(self) -> None:
        """From onset to closure; no hazard in between, relief afterwards."""
        self.handled = True
        onset = {"product": self.product, "queue": "escalations"}
        self.tell("escalation.onset", actor="customer", channel=self.habit, **onset)
        self.pass_time(self.dice.exponential(3.0))
        text = reply(self.dice, "manager")
        self.tell("conversation.message", actor="manager", channel="phone", text=text, msg_len=float(len(text)))
        self.pass_time(12 + self.dice.exponential(36.0))
        self.strain.relieve(AFTER_ESCALATION)
        self.strain.begin_episode(self.dice.exponential(1.0))
        self.handled = False
        self.tell("escalation.closed", actor="manager", channel="phone", **onset)

    def tell(
        self,
        kind: str,
        *,
        actor: str,
        channel: str,
        text: str | None = None,
        case: str | None = None,
        **more: str | float,
    ) -> None:
        """Record an event and the truth behind it."""
        occurred_at = self.world.begins + timedelta(seconds=int(self.now * 3600))
        # A call becomes visible when its transcript is ready, everything else at once.
        transcript = 300 + 900 * self.dice.uniform() if channel == "phone" and text else 0
        event_id = f"{self.name}-{len(self.events):04d}"
        self.events.append(
            Event(
                event_id=event_id,
                source=SOURCE,
                customer_id=self.name,
                type=kind,
                occurred_at=occurred_at,
                ingested_at=occurred_at + timedelta(seconds=int(transcript)),
                channel=channel,
                actor=actor,
                case_id=case,
                text=text,
                attributes=more,
            )
        )
        hazard = 0.0 if self.handled else self.strain.hazard
        self.truth.append(Truth(event_id, self.strain.level, hazard, self.strain.spent))
