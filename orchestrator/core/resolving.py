"""One model on its way to a service: what it is resolved against, its merged keys, and where its problems are placed.

`core.resolve` makes a `View` a model; `core.placing` and `core.granting` decide about parts of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from orchestrator.core.definition import Model, Service
from orchestrator.core.layers import At, Layer, Merged, merge
from orchestrator.core.naming import is_service_name, slug
from orchestrator.core.policy import Policy, Refusal
from orchestrator.core.problems import Problem, Severity


def _no_mounts(source: str) -> str | Refusal:
    return Refusal(f"there is no folder {source}")


@dataclass(frozen=True, slots=True)
class Context:
    """What a definition is resolved against. `folder`: absolute path of the model folder, symlinks resolved."""

    folder: str
    runtime: str = "docker"
    below: tuple[Layer, ...] = ()
    """Lower layers, lowest first."""
    launch: Layer | None = None
    """Laid over the definition: what `start` asked for."""
    policy: Policy = Policy()
    image_aliases: Mapping[str, str] = field(default_factory=dict)
    slots: Mapping[str, frozenset[str]] = field(default_factory=lambda: {"default": frozenset({"cuda.device"})})
    """Resource group to the slots that it has besides cpu and mem."""
    taken_ports: Mapping[int, str] = field(default_factory=dict)
    """Port to its holder."""
    taken_hosts: Mapping[str, str] = field(default_factory=dict)
    """Lower-case host name to its holder."""
    mount_source: Callable[[str], str | Refusal] = _no_mounts
    """The host path, symlinks resolved, that an extra mount's `source` stands for."""


class View:
    """One served model, with all layers merged; collects what is wrong with it."""

    def __init__(self, index: int, model: Model, context: Context, file: str, at: At) -> None:
        self.index, self.model, self.context = index, model, context
        self.own = Layer(model.deployment, file, f"models[{index}].deployment", at)
        launch = [context.launch] if context.launch else []
        self.merged: Merged = merge([*context.below, self.own, *launch])
        self.problems: list[Problem] = []
        wanted: str = self.merged.get("service_name") or model.name
        self.name = wanted if is_service_name(wanted) else slug(wanted)

    @property
    def service(self) -> Service:
        assert self.model.service is not None, "only served models are resolved"
        return self.model.service

    def refuse(self, key: str, refusal: Refusal) -> None:
        """An error at a deployment key (`image`, `resources.cpu`), placed in the layer that gave it."""
        self.tell("error", key, refusal.message, refusal.hint)

    def tell(self, severity: Severity, key: str, message: str, hint: str = "") -> None:
        """A problem of a deployment key, placed in the layer that gave it."""
        layer = self.merged.origin(key) or self.own
        self.problems.append(Problem(severity, layer.file, *layer.at(layer.path(key)), layer.path(key), message, hint))

    def tell_model(self, severity: Severity, key: str, message: str, hint: str = "") -> None:
        """A problem of one of the model's own keys (`model_path`, `service.start_command`; empty: of the model)."""
        path = f"models[{self.index}]" + (f".{key}" if key else "")
        self.problems.append(Problem(severity, self.own.file, *self.own.at(path), path, message, hint))
