"""Verbs about services: look at them, start, scale, retry and remove them, ask why."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.common import Common, ask
from orchestrator.cli.completion import routing_ids, service_names
from orchestrator.cli.output import (
    Column,
    age,
    clean,
    dump,
    one_line,
    paint,
    print_facts,
    print_json,
    print_table,
    when,
)
from orchestrator.core.errors import InvalidInput

if TYPE_CHECKING:
    from orchestrator.client import Client
    from orchestrator.core.views import ExplainView, ServiceDetail, ServiceView

ServiceName = Annotated[
    str, typer.Argument(metavar="SERVICE", help="Name or id of a service.", autocompletion=service_names)
]

SERVICES = (
    Column("NAME", lambda s: s.name),
    Column("STATUS", lambda s: s.status),
    Column("ROUTINGS", lambda s: _counts(s), right=True),
    Column("REVISION", lambda s: s.revision),
    Column("ENDPOINT", lambda s: s.endpoint),
    Column("CAUSE", lambda s: _held(s) or (s.rollout.said if s.rollout else s.cause) or s.pending),
)
ROUTINGS = (
    Column("ID", lambda r: r.id),
    Column("SERVICE", lambda r: r.service),
    Column("STATUS", lambda r: r.status),
    Column("REVISION", lambda r: r.revision),
    Column("ADDRESS", lambda r: r.address),
    Column("AGE", lambda r: age(r.created_at), right=True),
    Column("HEALTHY FOR", lambda r: age(r.healthy_since), right=True),
    Column("RATIO", lambda r: f"{r.traffic_ratio:g}", right=True),
    Column("CAUSE", lambda r: r.cause),
)


def _counts(service: ServiceView) -> str:
    """`2/3`, and under an override what the file says."""
    text = f"{service.healthy}/{service.desired_routing_count}"
    if service.override_desired is None:
        return text
    return f"{text} (file says {service.desired_in_file})"


def ls(common: Common) -> None:
    """List services.

    Examples:
      orchestrator ls
      orchestrator ls -o json
    """

    async def look(client: Client) -> tuple[Sequence[ServiceView], Mapping[str, str]]:
        return await client.services(), (await client.status()).pending

    services, pending = ask(common, look)
    if common.json:
        print_json([dump(service) for service in services])
        return
    print_table(SERVICES, services, nothing="no services: put a model folder into a models_dir")
    if pending:
        waiting = ", ".join(f"{clean(name)} ({change})" for name, change in pending.items())
        print(f"waiting for `orchestrator apply`: {waiting}; `orchestrator plan` shows what", file=sys.stderr)


def ps(
    common: Common,
    service: Annotated[
        str | None, typer.Argument(metavar="SERVICE", help="Of this one only.", autocompletion=service_names)
    ] = None,
) -> None:
    """List routings, of all services or of one. RATIO is the share of the requests that each gets among its like.

    Examples:
      orchestrator ps
      orchestrator ps my-model -o json
    """
    routings = ask(common, lambda client: client.routings(service))
    if common.json:
        print_json([dump(routing) for routing in routings])
    else:
        print_table(ROUTINGS, routings, nothing="no routings")


def _held(service: ServiceView) -> str:
    return f"its removal is held: {service.held}" if service.held else ""


def describe(common: Common, service: ServiceName) -> None:
    """Show everything about one service: its resolved definition, routings, problems and latest events.

    Examples:
      orchestrator describe my-model
    """
    detail = ask(common, lambda client: client.service(service))
    if common.json:
        print_json(dump(detail))
        return
    _print_detail(detail)


def _print_detail(detail: ServiceDetail) -> None:
    import yaml

    told = {detail.rollout.said if detail.rollout else "", detail.rejected}
    own = detail.overrides.items()
    print_facts(
        {
            "name": detail.name,
            "id": detail.id,
            "status": detail.status,
            "rollout": detail.rollout.said if detail.rollout else "",
            "rolled back": detail.rejected,
            "pending": detail.pending,
            "cause": _held(detail) or (detail.cause if detail.cause not in told else ""),
            "routings": _counts(detail),
            "revision": detail.revision,
            "endpoint": ", ".join(detail.endpoints) or detail.endpoint,
            "public": "yes: no token is needed" if detail.open_to_public else "no",
            "set by hand": ", ".join(f"{n} {_word(o.value)} (file says {_word(o.in_file)})" for n, o in own),
            "source": f"{detail.source} {detail.folder}",
            "model": detail.model,
            "failed starts": f"{detail.attempts} in a row" if detail.attempts else "",
            "next try": when(detail.next_try_at),
            "created": when(detail.created_at),
        }
    )
    for problem in detail.problems:
        print(clean(str(problem.problem())))
    print("\nrevision's specification:")
    text = yaml.safe_dump(dump(detail)["spec"], sort_keys=False, allow_unicode=True)
    print("\n".join(f"  {line}" for line in clean(text.rstrip()).splitlines()))
    print()
    print_table(ROUTINGS, detail.routings, nothing="no routings")
    print()
    for event in detail.events:
        print(f"{when(event.time)}  {event.kind}  {one_line(event.cause)}")


def _word(value: bool | float) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


def explain(common: Common, service: ServiceName) -> None:
    """Say in words why a service is not healthy, with the log's end and what to do.

    Examples:
      orchestrator explain my-model
    """
    view = ask(common, lambda client: client.explain(service))
    if common.json:
        print_json(dump(view))
    else:
        _print_causes(view)


def _print_causes(view: ExplainView) -> None:
    print(f"{view.service} is {paint(view.status)}")
    for cause in view.causes:
        routing = f" (routing {cause.routing})" if cause.routing else ""
        print(f"- {one_line(cause.message)}{routing} [{cause.code}]")
        for line in cause.log_tail:
            print(f"    | {clean(line)}")
        if cause.hint:
            print(f"  hint: {one_line(cause.hint)}")


def errors(
    common: Common,
    service: ServiceName,
    clear: Annotated[bool, typer.Option("--clear", help="Clear them and try again, as `retry` does.")] = False,
) -> None:
    """List what failed since it was last cleared, newest first, each with the end of its log.

    Examples:
      orchestrator errors my-model
      orchestrator errors my-model --clear
    """
    if clear:
        retry(common, service)
        return
    found = ask(common, lambda client: client.errors(service))
    if common.json:
        print_json([dump(one) for one in found])
        return
    for one in found:
        code = f"{one.code}, exit code {one.exit_code}" if one.exit_code is not None else one.code
        place = f"routing {one.routing} of revision {one.revision}" if one.routing else "the definition"
        print(f"{when(one.at)}  {place}: {one_line(one.message)} [{code}]")
        for line in one.log_tail:
            print(f"    | {clean(line)}")
        if one.hint:
            print(f"  hint: {clean(one.hint)}")
    if not found:
        print("no errors", file=sys.stderr)


def scale(
    common: Common,
    service: ServiceName,
    count: Annotated[int | None, typer.Argument(metavar="N", min=0, help="Routings wanted.")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Back to what the file says.")] = False,
) -> None:
    """Set the desired routing count. It overrides the file's until --reset, or until the file's own count changes.

    Examples:
      orchestrator scale my-model 3
      orchestrator scale my-model --reset
    """
    if (count is None) != reset:
        raise InvalidInput("cannot scale: give a number or --reset", hint=f"orchestrator scale {service} 2")
    changed(common, ask(common, lambda client: client.scale(service, count)))


def sync(common: Common, service: ServiceName) -> None:
    """Read a service's folder again, and tell the gateway anew what serves. Both happen by themselves, too.

    Examples:
      orchestrator sync my-model
    """
    changed(common, ask(common, lambda client: client.sync(service)))


def retry(common: Common, service: ServiceName) -> None:
    """Clear error and retry: read the definition again, drop the failure records, try now.

    A revision that failed and was rolled back by itself is tried again.

    Examples:
      orchestrator retry my-model
    """
    changed(common, ask(common, lambda client: client.retry(service)))


def rm_routing(
    common: Common,
    routing: Annotated[
        str,
        typer.Argument(metavar="ROUTING", help="Id of a routing, as `ps` shows it.", autocompletion=routing_ids),
    ],
    replace: Annotated[bool, typer.Option("--replace", help="Another takes its place; default: one less.")] = False,
) -> None:
    """Remove one routing: it gets no new requests, finishes the open ones, and ends.

    Examples:
      orchestrator rm-routing 3f9c2a41be07
      orchestrator rm-routing 3f9c2a41be07 --replace
    """
    changed(common, ask(common, lambda client: client.remove_routing(routing, replaced=replace)))


def rm(
    common: Common,
    service: ServiceName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a service and revoke its tokens. A folder's service stays removed until `start` or a changed file.

    Examples:
      orchestrator rm my-model
      orchestrator rm my-model --yes && orchestrator wait my-model --for gone
    """
    if not yes:
        confirm(f"Remove {service}, end its routings and revoke its tokens?")
    ask(common, lambda client: client.remove(service))
    if common.json:
        print_json({"removed": service})
    else:
        print(f"{service} is removed")


def confirm_removal(
    common: Common,
    service: Annotated[
        str | None,
        typer.Argument(metavar="SERVICE", help="Default: all whose removal is held.", autocompletion=service_names),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Confirm removals that are held because many folders vanished at once, or a models_dir cannot be read.

    Examples:
      orchestrator confirm-removal my-model
    """
    if not yes:
        confirm(f"Remove {service or 'every service whose removal is held'}?")
    removed = ask(common, lambda client: client.confirm_removal(service))
    if common.json:
        print_json({"removed": list(removed)})
    else:
        print(f"removed: {', '.join(removed)}" if removed else "no removal was held")


def confirm(question: str) -> None:
    """Go on only with a yes."""
    if not sys.stdin.isatty():
        raise InvalidInput("cannot ask: the input is not a terminal", hint="--yes answers for you")
    if not typer.confirm(question):
        raise typer.Exit(1)


def changed(common: Common, service: ServiceView) -> None:
    if common.json:
        print_json(dump(service))
    else:
        print_table(SERVICES, [service], nothing="")
