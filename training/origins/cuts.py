"""Where origins lie, and the command of the run at each.

An origin is a cut: its run learns from what was visible before it alone, with histories still going on censored there,
never dropped, and is tested on the histories that start from there to the next origin. Every history that starts after
the first origin is so tested once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from forewarn.targets import HistorySummary, ProtocolConfig, start_quantile
from forewarn.targets.protocol import parse_instant
from training.origins.config import RollingConfig
from training.runs import override_name

_RUN = ("origins", "first", "tuning", "run", "resume", "page", "predictions", "protocol")  # not handed on
# A quantile may fall on the very start of a history, and what lies at a cut is still seen by training.
_BEFORE = timedelta(microseconds=1)


@dataclass(frozen=True)
class Origin:
    """A cut, the end of its test (None: that of the data), and the time after which nothing is known (None: never)."""

    cut: datetime
    end: datetime | None
    known_until: datetime | None


def lay_origins(index: Sequence[HistorySummary], config: RollingConfig) -> list[Origin]:
    """The origins at quantiles of the starts; ValueError where two would fall together.

    With ``tuning`` these are the starts before the test cut of the protocol, where the last test and all knowledge end.
    """
    known_until = None
    if config.tuning:
        own = config.protocol
        known_until = parse_instant(own.test_start) if own.test_start else start_quantile(index, own.test_quantile)
        known_until -= _BEFORE
        index = [item for item in index if item.start < known_until]
    shares = [config.first + (1 - config.first) * i / config.origins for i in range(config.origins)]
    cuts = [start_quantile(index, share) - _BEFORE for share in shares] if index else []
    if not cuts or any(first >= second for first, second in pairwise(cuts)):
        raise ValueError(
            f"origins: found {config.origins} of which two are at the same time, among {len(index)} histories, "
            "expected histories that start between them; lower origins="
        )
    return [Origin(cut, end, known_until) for cut, end in zip(cuts, [*cuts[1:], known_until], strict=True)]


def origin_protocol(protocol: ProtocolConfig, origin: Origin) -> ProtocolConfig:
    """The protocol of the run at an origin: prefixes, purge and validation as in ``protocol``, censored at the cut."""
    plain = ProtocolConfig()
    return replace(
        protocol,
        name="rolling",
        split=plain.split,
        straddlers=plain.straddlers,
        test_quantile=plain.test_quantile,
        test_start=origin.cut.isoformat(),
        test_end=written(origin.end),
        data_end=written(origin.known_until),
        published={},
    )


def written(time: datetime | None) -> str | None:
    """A time as a protocol and a record write it."""
    return None if time is None else time.isoformat()


def origin_overrides(given: Sequence[str], config: RollingConfig, origin: Origin) -> list[str]:
    """The overrides of `training.train` for the run of an origin, from those that the command was given."""
    kept = [override for override in given if override_name(override) not in _RUN]
    plain, own = asdict(ProtocolConfig()), asdict(origin_protocol(config.protocol, origin))
    settings = [f"protocol.{name}={value}" for name, value in own.items() if value != plain[name]]
    return [*kept, "protocol=temporal", *settings, "predictions=true"]
