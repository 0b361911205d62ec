"""From a valid definition to what would run: defaults filled in, names made safe, permissions checked. Pure.

`validate` shows its result and the daemon runs it: both call `resolve` through `folders`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.core import granting, placing
from orchestrator.core.definition import Definition, Endpoint
from orchestrator.core.layers import At, nowhere
from orchestrator.core.naming import is_service_name
from orchestrator.core.policy import Refusal
from orchestrator.core.port_use import uses_port
from orchestrator.core.problems import Problem, is_valid
from orchestrator.core.resolving import Context, View
from orchestrator.core.spec import RoutingSpec, ServiceSpec
from orchestrator.core.updating import check_update

__all__ = ["Context", "Resolved", "resolve"]


@dataclass(frozen=True, slots=True)
class Resolved:
    """`services`: those without an error of their own. `names`: of all served models, also of those with errors."""

    services: tuple[ServiceSpec, ...] = ()
    problems: tuple[Problem, ...] = ()
    names: tuple[str, ...] = ()


def resolve(definition: Definition, context: Context, file: str = "", at: At = nowhere) -> Resolved:
    """What each served model would run as; `at` gives the line and column of a key's path in `file`."""
    views = [View(i, model, context, file, at) for i, model in enumerate(definition.models) if model.service]
    services: list[ServiceSpec] = []
    holders = _Holders(context.taken_ports, context.taken_hosts)
    for view in views:
        spec = _service(view)
        holders.claim(view)
        services += [spec] if is_valid(tuple(view.problems)) else []
    problems = [problem for view in views for problem in view.problems]
    if len(views) > 1 and context.launch and context.launch.deployment.service_name:
        message = f"the definition has {len(views)} services, which cannot all have one name"
        problems.append(Problem("error", context.launch.file, 0, 0, "service_name", message, "leave the name out"))
    return Resolved(tuple(services), tuple(problems), tuple(view.name for view in views))


def _service(view: View) -> ServiceSpec:
    """The service; to be used only where no error is reported."""
    if not is_service_name(view.model.name) and view.name != view.merged.get("service_name"):
        hint = "deployment.service_name gives it another"
        view.tell_model("warning", "name", f"is not URL-safe: the service is called {view.name}", hint)
    spec = ServiceSpec(
        name=view.name,
        model_name=view.model.name,
        routing=_routing(view),
        desired=view.merged.get("desired_routing_count", 1),
        metadata=view.model.metadata,
        **view.merged.given("open_to_public", "endpoint", "start_timeout", "unhealthy_timeout", "stop_grace", "retry"),
        **view.merged.given("update"),
    )
    check_update(view, spec)
    if view.context.runtime == "process":
        _check_process(view, spec)
    return spec


def _routing(view: View) -> RoutingSpec:
    mount, path = placing.model_places(view)
    check = view.service.health_check
    granting.check_permissions(view)
    granting.check_environ(view)
    return RoutingSpec(
        model_name=view.model.name,
        model_folder=view.context.folder,
        model_path=path,
        model_mount=mount,
        model_read_only=view.merged.get("model_read_only", False),
        image=granting.image(view),
        command=view.service.start_command,
        shell=view.service.shell,
        port=view.service.port,
        health=check if check and check.enable else None,
        actions=view.service.pre_start_actions,
        resources=granting.resources(view),
        mounts=placing.mounts(view, mount),
        **view.merged.given("environ", "secrets", "resource_group", "cluster_mode", "cluster_size"),
        **view.merged.given("user", "network", "hostname", "labels", "devices", "capabilities"),
    )


def _check_process(view: View, spec: ServiceSpec) -> None:
    """What local processes cannot do."""
    if spec.routing.command is None:
        message = "has no start_command, and the process runtime has no image that brings one"
        view.tell_model("error", "service", message, "set it, or use a container runtime")
    elif spec.desired > 1 and not uses_port(spec.routing):
        message = f"never uses the port that each of the {spec.desired} routings is given"
        hint = "pass {port} or $PORT to the server, or run one routing"
        view.tell_model("error", "service.start_command", message, hint)
    elif spec.update.strategy != "recreate" and not uses_port(spec.routing):
        message = "has its port written into it: a new revision starts when the old one has ended"
        hint = "the gateway holds requests meanwhile; with {port} or $PORT both serve for a while"
        view.tell_model("note", "service.start_command", message, hint)
    for key in sorted({"user", "network", "hostname"} & view.merged.values.keys()):
        view.tell("note", key, "has no effect on the process runtime")


class _Holders:
    """Who has which name, port and host among the services of one definition."""

    def __init__(self, ports: Mapping[int, str], hosts: Mapping[str, str]) -> None:
        self._names: dict[str, str] = {}
        self._addresses = {f"port {port}": holder for port, holder in ports.items()}
        self._addresses |= {f"host {host}": holder for host, holder in hosts.items()}

    def claim(self, view: View) -> None:
        """Note what the service takes, or report who has it already."""
        self._claim_name(view)
        endpoint: Endpoint = view.merged.get("endpoint", Endpoint())
        if endpoint.host and endpoint.host.rpartition(".")[2].isdecimal():
            view.refuse("endpoint.host", Refusal(f"{endpoint.host} is an address, not a name", "a host name"))
        for what, wanted in (("port", endpoint.port), ("host", endpoint.host and endpoint.host.lower())):
            address = f"{what} {wanted}"
            if wanted and (holder := self._addresses.get(address)):
                view.refuse(f"endpoint.{what}", Refusal(f"{address} is taken by {holder}", f"another {what}"))
            elif wanted:
                self._addresses[address] = f"the service {view.name}"

    def _claim_name(self, view: View) -> None:
        holder = self._names.setdefault(view.name.lower(), f"models[{view.index}]")
        if holder == f"models[{view.index}]":
            return
        message = f"the service name {view.name} is that of {holder} already"
        hint = "give one of them a deployment.service_name of its own"
        if "service_name" in view.merged.values:
            view.tell("error", "service_name", message, hint)
        else:
            view.tell_model("error", "name", message, hint)
