"""A simulated support operation: events of any number for demos, load and property tests, seeded and streamed.

Never evidence of quality: a model that predicts this world has learned this file. Results are shown on real data only.

The true hazard of ``escalation.onset`` is, per hour,

    h(t) = hazard_scale * s(t) ** 3

where s is the customer's strain (strain.py). Strain

- grows linearly while a reply is awaited, by 0.25 * temper / (reply time expected on the channel) an hour,
- fades otherwise, with a time constant of ten days,
- jumps by temper times 0.4 at a repeated contact, 0.35 at a hand-off, 0.45 at a brush-off, 0.7 at a fix that failed and
  0.15 at an outage, and by 0.9 when the customer makes up their mind to leave, which is told in words only,
- is multiplied by 0.45 after a fix that holds and by 0.25 after an escalation was handled.

Temper counts 1.6 times where something is at stake, which again is told in words only.

Between onset and ``escalation.closed`` the hazard is zero. Onsets are drawn exactly from the integral of h, which has a
closed form, so the integrals summed over customers equal the expected number of onsets.

Design choices
- Each customer has a generator seeded by (seed, customer): the same customer in a world of ten and of a million.
- Customers meet through the world they share (outages, load, season), not one another: that is what allows streaming.
- Strain, temper, politeness, whether a fix holds, and what is at stake are latent. Attributes never carry them; wording
  does, noisily. ``truth`` gives them in a separate stream.
"""

from __future__ import annotations

from collections.abc import Iterator

from forewarn.events.event import Event
from forewarn.events.simulator.customer import Story, Truth, tell_story
from forewarn.events.simulator.world import SimulatorOptions, World

__all__ = ["SimulatorOptions", "Story", "Truth", "simulate", "stories"]


def simulate(options: SimulatorOptions) -> Iterator[Event]:
    """Yield the events of all customers, customer by customer, each in order of occurrence."""
    for story in stories(options):
        yield from story.events


def stories(options: SimulatorOptions) -> Iterator[Story]:
    """Yield each customer's events with the latent truth behind them; raises ValueError for unusable options."""
    world = World(options.check())
    return (tell_story(world, number) for number in range(options.customers))
