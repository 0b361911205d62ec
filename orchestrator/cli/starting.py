"""Verbs that say what a service runs with: start, modify, reset. They share the launcher's options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.common import Common, ask, pairs, requested
from orchestrator.cli.services import ServiceName, changed
from orchestrator.core.errors import InvalidInput

if TYPE_CHECKING:
    from orchestrator.client import Client
    from orchestrator.core.views import LaunchView, ServiceView

Name = Annotated[str | None, typer.Option(help="The service's name.")]
Image = Annotated[str | None, typer.Option(help="Container image.")]
Count = Annotated[int | None, typer.Option(min=0, help="Desired routing count.")]
Public = Annotated[bool | None, typer.Option("--public/--private", help="Public: no token is needed.")]
Cpu = Annotated[float | None, typer.Option(help="Cores.")]
Mem = Annotated[str | None, typer.Option(help="Memory, such as 4g.")]
Shm = Annotated[str | None, typer.Option(help="Shared memory, such as 512m.")]
Resource = Annotated[list[str] | None, typer.Option(metavar="SLOT=AMOUNT", help="Repeatable.")]
Env = Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Repeatable.")]
Mount = Annotated[list[str] | None, typer.Option(metavar="SOURCE:TARGET:ro|rw", help="Repeatable.")]
Definition = Annotated[str | None, typer.Option(help="The definition's file name in the folder.")]
Destination = Annotated[str | None, typer.Option(help="Where the folder is mounted in the routing.")]
Group = Annotated[str | None, typer.Option(metavar="NAME", help="Declared group of capacity that it draws from.")]
ClusterMode = Annotated[str | None, typer.Option(metavar="MODE", help="single-node or multi-node.")]
ClusterSize = Annotated[int | None, typer.Option(min=1, help="Nodes of one routing.")]
Seconds = Annotated[float | None, typer.Option(metavar="SECONDS", min=0, help="As the definition's key of that name.")]
Retry = Annotated[bool | None, typer.Option(help="Retry requests elsewhere whose routing dies before it answers.")]


def start(
    common: Common,
    folder: Annotated[str, typer.Argument(help="Model folder: a path, or its name under a models_dir.")],
    name: Name = None,
    image: Image = None,
    count: Count = None,
    public: Public = None,
    cpu: Cpu = None,
    mem: Mem = None,
    shm: Shm = None,
    resource: Resource = None,
    env: Env = None,
    mount: Mount = None,
    definition: Definition = None,
    destination: Destination = None,
    resource_group: Group = None,
    cluster_mode: ClusterMode = None,
    cluster_size: ClusterSize = None,
    start_timeout: Seconds = None,
    unhealthy_timeout: Seconds = None,
    stop_grace: Seconds = None,
    retry: Retry = None,
    wait: Annotated[bool, typer.Option("--wait", help="Show how far it is, until it is HEALTHY.")] = False,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="How long to wait; default: to the end.")
    ] = None,
) -> None:
    """Start a model folder as a service; what is not given comes from its definition.

    With --wait, exit codes: 0 HEALTHY, 4 it does not get so (an image that is missing, a crash loop), 5 timeout.

    Examples:
      orchestrator start ./my-model --count 2 --env LOG_LEVEL=debug --wait
      orchestrator start my-model --image vllm/vllm-openai:latest --resource cuda.device=1 --shm 8g
    """
    given = locals()
    from orchestrator.core.views import LaunchRequest

    told = {field: value for field, value in given.items() if field in LaunchRequest.model_fields}
    told["folder"] = str(Path(folder).resolve()) if Path(folder).is_dir() else folder
    request = requested(LaunchRequest, **told, **_lists(resource, env, mount))
    service = ask(common, lambda client: client.start(request))
    if wait:
        from orchestrator.cli.waiting import Goal, waited

        service = waited(common, service.name, Goal.HEALTHY, timeout, give_up=True) or service
    changed(common, service)


def modify(
    common: Common,
    service: ServiceName,
    image: Image = None,
    count: Count = None,
    public: Public = None,
    cpu: Cpu = None,
    mem: Mem = None,
    shm: Shm = None,
    resource: Resource = None,
    env: Env = None,
    mount: Mount = None,
    definition: Definition = None,
    destination: Destination = None,
    resource_group: Group = None,
    cluster_mode: ClusterMode = None,
    cluster_size: ClusterSize = None,
    start_timeout: Seconds = None,
    unhealthy_timeout: Seconds = None,
    stop_grace: Seconds = None,
    retry: Retry = None,
    unset: Annotated[
        list[str] | None, typer.Option(metavar="FIELD", help="Back to the definition: image, environ.KEY. Repeatable.")
    ] = None,
    edit: Annotated[bool, typer.Option("--edit", help="Write what the folder declares into its definition.")] = False,
) -> None:
    """Change what a service runs with; the rest stays as it is.

    Of a service that its folder declares, count, public, the timeouts and retry are set over what the file says, until
    `orchestrator reset`. The rest is the file's: refused, or with --edit written into it, comments kept. --env and
    --resource add to what there is, --mount replaces all mounts.

    Examples:
      orchestrator modify my-model --image vllm/vllm-openai:v0.9 --env LOG_LEVEL=debug
      orchestrator modify my-model --unset environ.LOG_LEVEL --public
      orchestrator modify my-model --mem 8g --edit
    """
    given = locals()
    from orchestrator.core.views import ModifyRequest

    fields = ModifyRequest.model_fields.keys() - {"edit"}
    told = {field: value for field, value in given.items() if field in fields and value is not None}
    told |= {field: value for field, value in _lists(resource, env, mount).items() if value is not None}
    if not told and not unset:
        raise InvalidInput("cannot modify: nothing is to change", hint=f"orchestrator modify {service} --count 2")

    async def send(client: Client) -> ServiceView:
        whole: dict[str, Any] = {}
        if told.keys() & {"environ", "resources"} or any("." in field for field in unset or ()):
            now = (await client.service(service)).launch
            assert now is not None
            whole = _merged(now, told, unset or ())
        plain = {field: None for field in unset or () if "." not in field}
        asked = {**plain, **told, **whole, **({"edit": True} if edit else {})}
        return await client.modify(service, requested(ModifyRequest, **asked))

    changed(common, ask(common, send))


def reset(
    common: Common,
    service: ServiceName,
    field: Annotated[list[str] | None, typer.Argument(metavar="FIELD…", help="count, public, …; default: all.")] = None,
) -> None:
    """End overrides: what `scale` and `modify` set over a file is as the file says again.

    Examples:
      orchestrator reset my-model
      orchestrator reset my-model public
    """
    changed(common, ask(common, lambda client: client.reset(service, field or None)))


def _lists(resource: Sequence[str] | None, env: Sequence[str] | None, mount: Sequence[str] | None) -> dict[str, Any]:
    return {
        "resources": pairs(resource, "--resource") if resource else None,
        "environ": pairs(env, "--env") if env else None,
        "mounts": tuple(mount) if mount else None,
    }


def _merged(now: LaunchView, told: dict[str, Any], unset: Sequence[str]) -> dict[str, dict[str, str]]:
    """Maps as a whole: as they are, with what was typed laid over them and without what is unset."""
    found: dict[str, dict[str, str]] = {}
    found |= {name: {**getattr(now, name), **told[name]} for name in ("environ", "resources") if name in told}
    for path in unset:
        name, _, key = path.partition(".")
        if key and name not in ("environ", "resources"):
            raise InvalidInput(f"cannot unset {path}", hint="environ.KEY, resources.SLOT, or a field such as image")
        if key and found.setdefault(name, dict(getattr(now, name))).pop(key, None) is None:
            raise InvalidInput(f"cannot unset {path}: there is none", hint=f"there are: {', '.join(found[name])}")
    return found
