"""What would be right in place of a word that nobody knows. Used by `core.reading` for keys and actions."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches

ELSEWHERE: Mapping[str, str] = {
    "auto_promote": "promote_after",
    "auto_revert": "auto_rollback",
    "failure_action": "auto_rollback",
    "max_parallel": "max_surge",
    "min_healthy_time": "min_ready",
    "min_ready_seconds": "min_ready",
    "monitor": "bake",
    "parallelism": "max_surge",
    "promote_delay_seconds": "promote_after",
    "rollout": "update",
    "step_interval": "pause",
    "step_weight": "steps",
    "type": "strategy",
    "update_config": "update",
    "update_strategy": "update",
    "weights": "steps",
}
"""What Backend.AI, Kubernetes, Compose and Nomad call a key of ours."""


def closest(word: str, known: Collection[str]) -> str | None:
    """The known word that `word` most likely stands for; None: nothing is near."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word[:80]).replace("-", "_").replace(" ", "_").lower()
    if snake in known:
        return snake
    if (ours := ELSEWHERE.get(snake)) in known:
        return ours
    joined = {k.replace("_", ""): k for k in known}
    if near := joined.get(snake.replace("_", "")):
        return near
    matches = get_close_matches(snake, known, n=1, cutoff=0.72)
    return matches[0] if matches else None


def did_you_mean(word: str, known: Collection[str]) -> str:
    """A hint: the closest known word, else all of them."""
    if near := closest(word, known):
        return f"did you mean `{near}`?"
    return "known: " + ", ".join(sorted(known))


def unknown_key(key: str, known: Collection[str], homes: Mapping[str, Collection[str]]) -> str:
    """A hint for a key that its map does not know; `homes` maps keys to the maps that know them."""
    exact = homes.get(key.replace("-", "_"), ())
    if not exact and (near := closest(key, known)):
        return f"did you mean `{near}`?"
    if exact and len(exact) <= 2:
        return "it belongs under " + " or ".join(f"`{home}`" for home in sorted(exact))
    return did_you_mean(key, known)
