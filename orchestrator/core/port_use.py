"""Whether a definition takes the port that it is given, or listens on one that is written into it.

Where all routings share one port space (the process runtime), only the first kind can run more than one at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.core.spec import RoutingSpec

_TEMPLATE = re.compile(r"(?<!\{)(?:\{\{)*\{(?:port|ports\[0\])\}")
_ENVIRON = re.compile(r"\$\{?PORT\b|[\"']PORT[\"']|\benv\.PORT\b|\bprintenv PORT\b")


def uses_port(spec: RoutingSpec) -> bool:
    """True where the start command or an action names `{port}`, `{ports[0]}` or the environment's PORT."""
    return any(_TEMPLATE.search(text) or _ENVIRON.search(text) for text in _texts(spec))


def _texts(spec: RoutingSpec) -> Iterator[str]:
    for part in (spec.command, *(action.args.model_dump() for action in spec.actions)):
        yield from _strings(part)


def _strings(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from _strings(item)
        case list() | tuple():
            for item in value:
                yield from _strings(item)
        case _:
            return
