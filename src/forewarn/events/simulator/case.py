"""One case: contact, bot, waiting and chasing, replies of agents of different skill, fixes that may hold, a survey."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forewarn.events.simulator.grammar import matter_of, reply
from forewarn.events.simulator.world import DAY

if TYPE_CHECKING:
    from forewarn.events.simulator.customer import Customer

# What an experience adds to strain, times temper and what is at stake.
REPEAT, HANDOFF, BRUSH_OFF, FAILED_FIX = 0.40, 0.35, 0.45, 0.7
RESOLVE = 0.9  # what the decision to leave adds; it is told in words only
AFTER_FIX = 0.45  # what is left of strain after a fix that holds
WAITING = 0.25  # growth of strain while a reply is awaited, times temper, per reply time expected on the channel
# Hours until a reply: what is usual in a calm hour, and what customers expect.
_USUAL = {"chat": 0.15, "phone": 0.1, "email": 7.0, "web": 9.0}
_EXPECTED = {"chat": 0.6, "phone": 0.6, "email": 8.0, "web": 10.0}
_QUEUES = {
    "outage": "network",
    "billing": "billing",
    "delivery": "logistics",
    "defect": "technical",
    "login": "accounts",
    "how_to": "general",
}
_DIFFICULTY = {"outage": 0.8, "billing": 0.5, "delivery": 0.6, "defect": 0.7, "login": 0.3, "how_to": 0.05}
_MAX_ROUNDS = 6


class Case:
    """One case from its first contact to its end, or to the interruption."""

    def __init__(self, customer: Customer, issue: str) -> None:
        self.customer = customer
        self.dice = customer.dice
        self.issue = issue
        customer.cases += 1
        self.name = f"{customer.name}/{customer.cases}"
        self.queue = _QUEUES[issue]
        self.contacts = 1
        self.channel = customer.habit if self.dice.chance(0.7) else self.dice.pick(tuple(_USUAL))
        # What is at stake makes everything weigh more, and is known from the words alone.
        self.stake = self.dice.chance(0.2)
        self.weight = customer.temper * (1.6 if self.stake else 1.0)
        self.priority = self._priority()
        self.matter = matter_of(self.dice, issue, customer.product)
        self.threatened = False

    def open(self) -> None:
        """The first contact."""
        mood, threat = self._mood(), self._threatens()
        text = self.customer.writer.opening(self.matter, mood, stake=self.stake, threat=threat)
        self._say("ticket.created", text)

    def answered_by_bot(self) -> bool:
        """Chat starts with the bot, which settles simple questions."""
        if self.channel != "chat":
            return False
        self.customer.pass_time(0.01)
        self._answer("bot", actor="bot", latency=36.0)
        if not self.dice.chance(0.6 - 0.6 * _DIFFICULTY[self.issue]):
            return False
        self.customer.pass_time(self.dice.exponential(0.2))
        self._follow_up("fixed")
        self._close("bot")
        return True

    def work(self) -> None:
        """Rounds of waiting and replies until a fix holds, or the customer falls silent."""
        skill = self._assign()
        for _ in range(_MAX_ROUNDS):
            latency = self._await_reply(skill)
            difficulty = _DIFFICULTY[self.issue]
            roll = self.dice.uniform()
            solves = 0.3 + 0.5 * skill - 0.3 * difficulty
            hands_off = 0.1 + 0.15 * difficulty
            if roll < solves:
                self._answer("solve", actor="agent", latency=latency)
                self._status("solved", "agent")
                if self._fix_holds(skill):
                    return
            elif roll < solves + hands_off:
                self._answer("transfer", actor="agent", latency=latency)
                self.customer.strain.jump(HANDOFF * self.weight)
                self.queue = self.dice.pick(tuple(_QUEUES.values()))
                skill = self._assign("conversation.transferred")
            elif roll < solves + hands_off + 0.22:
                self._answer("ask", actor="agent", latency=latency)
                self.customer.pass_time(self.dice.exponential(_USUAL[self.channel]))
                self._follow_up("details")
            else:
                self._answer("brush_off", actor="agent", latency=latency)
                self.customer.strain.jump(BRUSH_OFF * self.weight)
                if self.dice.chance(0.35):  # says nothing more; the strain stays
                    break
                self.customer.pass_time(self.dice.exponential(2 * _USUAL[self.channel]))
                self._contact_again("not_fixed", REPEAT)
        self.customer.pass_time(3 * DAY)
        self._close("system")

    def survey(self) -> None:
        """Some are asked how it went, some of those answer."""
        if not self.dice.chance(0.35):
            return
        self.customer.pass_time(self.dice.exponential(4.0))
        if self.dice.chance(0.5):
            csat = float(min(5, max(1, round(4.8 - 1.1 * self.customer.strain.level + 0.7 * self.dice.normal()))))
            self._tell("survey.answered", actor="customer", channel="survey", csat=csat)

    def _await_reply(self, skill: float) -> float:
        """Wait for a reply, chasing it now and then; returns its latency in seconds."""
        customer = self.customer
        waiting = _USUAL[self.channel] * customer.world.load(customer.now, customer.product)
        waiting *= self.dice.lognormal(1.2 - 0.4 * skill, 0.7) * (0.6 if self.priority == "high" else 1.0)
        if self.channel in ("email", "web") and not customer.world.open_for_business(customer.now):
            waiting += 9.0
        latency = waiting * 3600
        growth = WAITING * self.weight / _EXPECTED[self.channel]
        chase = self.dice.lognormal(2.5 * _EXPECTED[self.channel], 0.5)
        while chase < waiting:
            customer.pass_time(chase, growth)
            self._contact_again("chase", REPEAT)
            waiting -= chase
            chase *= 1.6
        customer.pass_time(waiting, growth)
        return latency

    def _fix_holds(self, skill: float) -> bool:
        """What comes of a fix; whether it holds shows only in what the customer writes, if anything."""
        holds = self.dice.chance(0.55 + 0.4 * skill - 0.15 * _DIFFICULTY[self.issue])
        if holds:
            self.customer.strain.relieve(AFTER_FIX)
            if self.dice.chance(0.5):
                self.customer.pass_time(self.dice.exponential(_USUAL[self.channel]))
                self._follow_up("fixed")
            self._close("system")
            return True
        self.customer.pass_time(self.dice.exponential(20.0))
        self._contact_again("not_fixed", FAILED_FIX)
        self._status("reopened", "customer")
        return False

    def _contact_again(self, kind: str, weight: float) -> None:
        self.contacts += 1
        self.customer.strain.jump(weight * self.weight)
        self._follow_up(kind)

    def _follow_up(self, kind: str) -> None:
        threat = kind != "fixed" and self._threatens()
        writer, mood = self.customer.writer, self._mood()
        text = writer.follow_up(kind, self.matter, mood, contacts=self.contacts, threat=threat)
        self._say("conversation.message", text)

    def _mood(self) -> int:
        return min(3, max(0, int(1.1 * self.customer.strain.level + 0.6 * self.dice.normal())))

    def _threatens(self) -> bool:
        """Whether the customer has now made up their mind to leave: it is put in words, and it weighs."""
        if self.threatened or not self.dice.chance(min(0.5, 0.25 * (self.customer.strain.level - 0.8))):
            return False
        self.threatened = True
        self.customer.strain.jump(RESOLVE)
        return True

    def _priority(self) -> str:
        if self.issue in ("outage", "defect") and self.dice.chance(0.4):
            return "high"
        return "low" if self.issue == "how_to" else "normal"

    def _assign(self, kind: str = "conversation.assigned") -> float:
        """Give the case to an agent of the queue; returns the agent's skill."""
        self._tell(kind, actor="system", channel=self.channel)
        return self.dice.pick(self.customer.world.skills)

    def _say(self, kind: str, text: str) -> None:
        text = self.customer.writer.typed(text, self.channel)
        language = self.customer.language
        self._tell(kind, actor="customer", channel=self.channel, text=text, msg_len=float(len(text)), language=language)

    def _answer(self, kind: str, *, actor: str, latency: float) -> None:
        text = reply(self.dice, kind)
        self._tell(
            "conversation.message",
            actor=actor,
            channel=self.channel,
            text=text,
            msg_len=float(len(text)),
            reply_latency_s=float(int(latency)),
        )

    def _status(self, status: str, actor: str) -> None:
        self._tell("ticket.status", actor=actor, channel=self.channel, status=status)

    def _close(self, actor: str) -> None:
        self._status("closed", actor)

    def _tell(self, kind: str, *, actor: str, channel: str, text: str | None = None, **more: str | float) -> None:
        self.customer.tell(
            kind,
            actor=actor,
            channel=channel,
            text=text,
            case=self.name,
            product=self.customer.product,
            issue=self.issue,
            queue=self.queue,
            priority=self.priority,
            **more,
        )
