"""Deployment keys of several sources laid over each other, each value remembering where it came from.

Lowest to highest: `[defaults]` of config.toml, the files beside the definition, the definition, the launch. Used by
`core.resolve`, which refuses what a source that is not the administrator's may not ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.core.definition import Deployment, Update

At = Callable[[str], tuple[int, int]]
"""Line and column of a key's path."""


def nowhere(_path: str) -> tuple[int, int]:
    """The place in a source that has no lines."""
    return 0, 0


@dataclass(frozen=True, slots=True)
class Layer:
    """One source of deployment keys: `prefix` names the map in `file` that holds them, `at` finds their places."""

    deployment: Deployment
    file: str
    prefix: str = ""
    at: At = nowhere
    trusted: bool = False
    """It is the administrator's: its values need no permission."""

    def path(self, key: str) -> str:
        return ".".join(part for part in (self.prefix, key) if part)


@dataclass(frozen=True, slots=True)
class Merged:
    """`values`: all keys that any layer gives; `origins`: key to the layer that won, in maps (`environ.TOKEN`) and in
    `update` (`update.steps`) for each of theirs."""

    values: Mapping[str, Any]
    origins: Mapping[str, Layer]

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def given(self, *keys: str) -> dict[str, Any]:
        """Those of `keys` that a layer gives; what is left out keeps the default of whoever is built from them."""
        return {key: self.values[key] for key in keys if key in self.values}

    def origin(self, key: str) -> Layer | None:
        """The layer that gave `key`, or the map or list that it is in."""
        whole = key.partition("[")[0].partition(".")[0]
        return self.origins.get(key) or self.origins.get(whole)

    def untrusted(self, key: str) -> bool:
        return key in self.origins and not self.origins[key].trusted


def merge(layers: Sequence[Layer]) -> Merged:
    """Later layers win. Maps (environ, resources, labels, update …) are merged key by key; lists, and an endpoint, are
    replaced as a whole."""
    values: dict[str, Any] = {}
    origins: dict[str, Layer] = {}
    for layer in layers:
        for key in layer.deployment.model_fields_set:
            value = getattr(layer.deployment, key)
            if value is None:
                continue
            origins[key] = layer
            if isinstance(value, Mapping):
                values[key] = {**values.get(key, {}), **value}
                origins.update({f"{key}.{name}": layer for name in value})
            elif isinstance(value, Update):
                given = _given(value)
                values[key] = values.get(key, Update()).model_copy(update=given)
                origins.update({f"{key}.{name}": layer for name in given})
            else:
                values[key] = value
    return Merged(values, origins)


def _given(update: Update) -> dict[str, Any]:
    """The keys that it gives; null is the same as left out."""
    return {name: value for name in update.model_fields_set if (value := getattr(update, name)) is not None}
