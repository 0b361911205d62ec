"""What is kept of a change that was asked for through the API: who, what, before and after. Pure.

Kept texts are bounded and hold no secrets, whatever was sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from orchestrator.core.access import Access
from orchestrator.core.hiding import hidden, hidden_text
from orchestrator.core.masking import MASK

LONGEST = 200
"""Characters of one text; of a longer one its length and its digest are kept."""
MOST_ITEMS = 100
LARGEST = 4096
"""Characters of a request, or of one side of a difference, as JSON."""
SEARCHED = 16 * LARGEST
"""Characters that are searched for secrets: what is larger is kept as its digest all the same."""
OBSERVED = frozenset({"events", "routings", "healthy", "cause", "rollout", "attempts", "next_try_at", "last_used_at"})
"""Keys of views that change by themselves: no request did it."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """See `core.access_views.AuditView`. `time` in wall seconds."""

    time: float
    action: str
    method: str
    path: str
    who: str = ""
    token_id: str = ""
    access: Access = "public"
    service: str = ""
    status: int = 0
    request: Any = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    client: str = ""
    request_id: str = ""
    seq: int = 0
    """Set by the store; grows by one an entry."""


def kept(value: object) -> Any:
    """JSON as it may be kept: small first, so that nobody makes us search megabytes for secrets; then without those."""
    small = _short(value)
    text = json.dumps(small, default=str)
    if len(text) <= SEARCHED:
        small = hidden(small, ())
        text = json.dumps(small, default=str)
    return small if len(text) <= LARGEST else _digest(text)


def kept_path(path: str) -> str:
    """With its query as it was meant: what is escaped would hide from what hides secrets."""
    path, mark, query = path[:2048].partition("?")
    asked = "&".join(f"{name}={_asked(name, value)}" for name, value in parse_qsl(query, keep_blank_values=True))
    return hidden_text(path + mark + asked, ())[:512]


def _asked(name: str, value: str) -> str:
    """A command's variables are kept by their names alone."""
    return f"{value.partition('=')[0]}={MASK}" if name == "env" else value


def difference(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Keys with dots that are not the same on both sides, and their values; None where a side is not known. Of one side
    alone all that is not empty."""
    if before is None or after is None:
        return _whole(before), _whole(after)
    old, new = _shown(before), _shown(after)
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return _side({key: old.get(key) for key in keys}), _side({key: new.get(key) for key in keys})


def _whole(view: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if view is None else _side({key: v for key, v in _shown(view).items() if v not in (None, "", [], {})})


def _side(found: Mapping[str, Any]) -> dict[str, Any]:
    side = kept(found)
    return side if isinstance(side, dict) else {"…": side}


def _shown(view: Mapping[str, Any]) -> dict[str, Any]:
    """Hidden before it is flat: afterwards an environment is not known as one."""
    safe = hidden(_short(view), ())
    return _flat(safe) if isinstance(safe, Mapping) else {}


def _flat(view: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in view.items():
        if key in OBSERVED:
            continue
        if isinstance(value, Mapping) and value:
            found |= {f"{key}.{below}": one for below, one in _flat(value).items()}
        else:
            found[key] = value
    return found


def _short(value: Any) -> Any:
    match value:
        case str() if len(value) > LONGEST:
            return _digest(value)
        case Mapping():
            items = list(value.items())
            cut = {f"… {len(items) - MOST_ITEMS} more": None} if len(items) > MOST_ITEMS else {}
            return {str(key)[:LONGEST]: _short(one) for key, one in items[:MOST_ITEMS]} | cut
        case Sequence() if not isinstance(value, str):
            cut_items = [f"… {len(value) - MOST_ITEMS} more"] if len(value) > MOST_ITEMS else []
            return [_short(one) for one in value[:MOST_ITEMS]] + cut_items
        case _:
            return value


def _digest(text: str) -> str:
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"({len(text)} characters, sha256 {mark})"
