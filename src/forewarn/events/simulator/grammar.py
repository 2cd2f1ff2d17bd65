"""What people write: sentences put together from paraphrases, so that mood, threats and stakes are in the words.

A message is greeting, mood, matter, stake, threat and close, most of them optional. Politeness and mood are
independent: a courteous customer at the end of their patience asks kindly for the end date of the contract. Typing
errors and British or American spelling vary the surface.
"""

from __future__ import annotations

from forewarn.events.simulator.dice import Dice

ISSUES = {
    "outage": (
        "my {product} has been down since this morning",
        "nothing on my {product} works",
        "the {product} is not reachable at all",
        "no service on the {product}",
    ),
    "billing": (
        "I was charged twice for my {product}",
        "the invoice for the {product} is wrong",
        "there is a fee on my bill I never agreed to",
        "the {product} payment was taken although I changed plan",
    ),
    "delivery": (
        "my new {product} has not arrived",
        "the parcel with the {product} is late",
        "tracking for the {product} has not moved in days",
        "you sent the wrong {product}",
    ),
    "defect": (
        "the {product} keeps restarting",
        "my {product} loses the connection every evening",
        "the {product} shows an error after the update",
        "the {product} is painfully slow",
    ),
    "login": (
        "I cannot sign in to the {product}",
        "the {product} does not accept my password",
        "the reset mail for the {product} never comes",
        "I am locked out of the {product}",
    ),
    "how_to": (
        "I would like to move the {product} to a new address",
        "I cannot find the settings of the {product}",
        "I want a second user on my {product}",
        "I would like to change the plan of my {product}",
    ),
}

# By politeness (curt, courteous), then by mood: calm, uneasy, annoyed, angry.
_MOODS = (
    (
        ("", "", "Quick one:", "So,"),
        ("Not great.", "Hmm.", "This is getting old.", ""),
        ("This is annoying.", "I am losing patience.", "Seriously?", "What is going on over there?"),
        ("This is a joke!", "I am furious.", "Absolutely unacceptable.", "I have had enough of this!"),
    ),
    (
        ("I hope you can help.", "", "Thanks in advance.", "Whenever you have a moment:"),
        ("I am a little worried.", "I would be glad of some news.", "", "Sorry to trouble you."),
        ("I must say I am disappointed.", "I had expected better.", "Please understand that this is wearing.", ""),
        (
            "I am afraid my patience is at an end.",
            "With respect, this is no way to treat a customer.",
            "I do not recognise the company I signed up with.",
            "I regret to say that I have lost trust.",
        ),
    ),
)
_GREETINGS = (("", "", "Hi,", "Hey,"), ("Hello,", "Good morning,", "Dear team,", "Hi there,"))
_CLOSES = (("", "", "Fix it.", "Waiting."), ("Thank you.", "Kind regards.", "Many thanks.", "Best wishes."))
_STAKES = (
    "I run a small shop and lose orders every hour.",
    "My mother depends on this for her care calls.",
    "I have a deadline tomorrow.",
    "I work from home and cannot earn like this.",
)
_THREATS = (
    (
        "Tell me how to cancel.",
        "I am moving to your competitor.",
        "My lawyer will hear about this.",
        "I want your manager, now.",
    ),
    (
        "Could you kindly confirm the end date of my contract?",
        "I have begun to compare other providers.",
        "I would like to know where to send a formal complaint.",
        "Please tell me the notice period.",
    ),
)
_AGAIN = (
    "This is the {nth} time I write about this.",
    "I have now asked {times} times.",
    "Contact number {count} on the same thing.",
    "I told your colleagues all of this before.",
)
_CHASE = (
    "Any update?",
    "Is anybody there?",
    "I still have no answer.",
    "Did you get my message?",
    "Could you let me know where this stands?",
)
_DETAILS = (
    "Here is what you asked for, the serial number ends in {number}.",
    "I restarted it as you said, no change.",
    "The screenshot is attached.",
    "The order number is {number}.",
)
_FIXED = (
    "That did it, works again.",
    "Perfect, solved.",
    "Great, all good now.",
    "Working now, you have been a real help.",
    "Sorted, cheers.",
)
_NOT_FIXED = (
    "It is back: {matter}.",
    "You closed this but {matter}.",
    "That did not help, {matter}.",
    "Solved on your side maybe, {matter}.",
)
_REPLIES = {
    "bot": (
        "Thanks for your message. Have you tried these steps?",
        "I found an article that may help.",
        "I am the virtual assistant. Let me look into this.",
    ),
    "ask": (
        "Could you send me the order or serial number?",
        "Please restart the device and tell me what you see.",
        "Can you attach a screenshot?",
    ),
    "solve": (
        "I have corrected this on our side.",
        "This should work now, please try again.",
        "The change is made, please check.",
        "I found the cause and removed it.",
    ),
    "brush_off": (
        "This works as designed.",
        "Please see our terms.",
        "Nothing is wrong on our side.",
        "We cannot do anything about that.",
    ),
    "transfer": (
        "I am passing this on to another team.",
        "My colleagues in the other department will get back to you.",
    ),
    "manager": (
        "I am the team lead and take this over personally.",
        "I apologise and will call you today.",
    ),
}
_TIMES = ("one", "two", "three", "four", "five")
_NTH = ("first", "second", "third", "fourth", "fifth")
_AMERICAN = (("apologise", "apologize"), ("recognise", "recognize"))
_TYPING_ERROR = {"chat": 0.12, "web": 0.05, "email": 0.04, "phone": 0.0}


class Writer:
    """One customer's hand: politeness from 0 to 1, spelling, and the channel's typing errors."""

    def __init__(self, dice: Dice, *, politeness: float, language: str) -> None:
        self._dice = dice
        self._politeness = politeness
        self._american = language == "en-US"

    def opening(self, matter: str, mood: int, *, stake: bool, threat: bool) -> str:
        """The first message of a case; ``matter`` is a clause from ``matter_of``, ``mood`` 0 (calm) to 3 (angry)."""
        return self._compose(mood, f"{_capital(matter)}.", stake=stake, threat=threat, frame=True)

    def follow_up(self, kind: str, matter: str, mood: int, *, contacts: int, threat: bool) -> str:
        """A later message: "chase", "details", "fixed" or "not_fixed"; ``contacts`` counts those about the matter."""
        choices = {"chase": _CHASE, "details": _DETAILS, "fixed": _FIXED, "not_fixed": _NOT_FIXED}[kind]
        number = int(1000 + 9000 * self._dice.uniform())
        body = self._dice.pick(choices).format(matter=matter, number=number)
        if kind in ("chase", "not_fixed") and contacts > 2 and self._dice.chance(0.5):
            place = min(contacts, len(_NTH)) - 1
            body += " " + self._dice.pick(_AGAIN).format(nth=_NTH[place], times=_TIMES[place], count=contacts)
        return self._compose(0 if kind == "fixed" else mood, body, stake=False, threat=threat, frame=False)

    def typed(self, text: str, channel: str) -> str:
        """The text as it leaves the keyboard: two letters swapped now and then."""
        if len(text) > 12 and self._dice.chance(_TYPING_ERROR[channel]):
            place = 1 + int(self._dice.uniform() * (len(text) - 3))
            text = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
        return text

    def _compose(self, mood: int, body: str, *, stake: bool, threat: bool, frame: bool) -> str:
        manner = int(self._dice.chance(self._politeness))
        pick = self._dice.pick
        parts = [
            pick(_GREETINGS[manner]) if frame else "",
            pick(_MOODS[manner][mood]) if frame or mood else "",
            body,
            pick(_STAKES) if stake else "",
            pick(_THREATS[manner]) if threat else "",
            pick(_CLOSES[manner]) if frame or manner else "",
        ]
        text = " ".join(part.strip() for part in parts if part.strip())
        if self._american:
            for british, american in _AMERICAN:
                text = text.replace(british, american)
        return text


def matter_of(dice: Dice, issue: str, product: str) -> str:
    """What a case is about, as a clause: "my tv box has been down since this morning"."""
    return dice.pick(ISSUES[issue]).format(product=product.replace("_", " "))


def reply(dice: Dice, kind: str) -> str:
    """What an agent, the bot or a manager answers: standard sentences, as in most support operations."""
    return dice.pick(_REPLIES[kind])


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
