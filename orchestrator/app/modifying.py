"""Services modified: what was started by hand gets a new launch; of what a folder declares hot fields are overridden,
and the rest is said by its file, which is edited where that is asked for. Also one routing less.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.app.changes import ServiceChanges
from orchestrator.core import launching, present
from orchestrator.core.catalog import update
from orchestrator.core.changes import HOT as HOT_PATHS
from orchestrator.core.changes import field_changes
from orchestrator.core.errors import Conflict, InvalidInput, NotFound
from orchestrator.core.launching import (
    HOT,
    KEYS,
    changed_only,
    deployment_of,
    overridden,
    relaunched,
    taken_away,
    without_defaults,
)
from orchestrator.core.report import join
from orchestrator.core.spec import ServiceSpec
from orchestrator.core.state import Attempts, RoutingStatus, Service
from orchestrator.core.status import routing_status
from orchestrator.core.views import LaunchView, ModifyRequest, ServiceView
from orchestrator.folders import Reading, read_folder
from orchestrator.folders.editing import NOT_BY_US, edited, write_definition
from orchestrator.scheduler.reader import refuse_invalid

Given = Mapping[str, Any]
"""Fields of a launch that are to change, to their values; None: back to what the definition says."""


class Modifying(ServiceChanges):
    """The part of `api.control.Control` that modifies services."""

    async def modify(self, ref: str, request: ModifyRequest) -> ServiceView:
        loop = self._parts.loop
        async with loop.lock:
            service = self._find(ref)
            if service.removing:
                raise Conflict(f"cannot modify {service.name}: it is being removed")
            told = request.model_dump(mode="json", include=request.model_fields_set - {"edit"})
            told = {field: value for field, value in told.items() if field != "name" or value is not None}
            given = changed_only(told, self._launch(service))
            _refuse_name(service, given)
            self._refuse_count(service, given.get("count"))
            if given and service.source == "api":
                await self._launch_anew(service, given)
            elif given:
                await self._modify_declared(service, given, edit=request.edit)
        loop.rescan()
        await loop.look_now()
        return self._view(self._find(service.id))

    async def reset(self, ref: str, fields: Sequence[str] | None) -> ServiceView:
        """End overrides: of these fields, else all."""
        async with self._parts.loop.lock:
            service = self._find(ref)
            ended = [name for name in launching.overrides_of(service) if not fields or name in fields]
            if ended:
                await self._facts.put_service(launching.reset(service, ended))
                await self._tell("service.reset", service, f"{', '.join(ended)} as the file says")
        await self._parts.loop.look_now()
        return self._view(self._find(service.id))

    async def remove_routing(self, routing_id: str, *, replaced: bool) -> ServiceView:
        """`replaced` False: the desired count is one less from then on."""
        async with self._parts.loop.lock:
            routing = self._facts.routings.get(routing_id)
            if routing is None:
                raise NotFound(f"there is no routing {routing_id!r}", hint="`orchestrator ps` lists them")
            service, status = self._facts.services[routing.service_id], routing_status(routing)
            if status in (RoutingStatus.FAILED_TO_START, RoutingStatus.TERMINATING) or service.removing:
                hint = f"`orchestrator retry {service.name}` clears records of failures" if routing.failure else ""
                raise Conflict(f"cannot remove routing {routing_id}: it is {status}", hint=hint)
            if not replaced and service.desired:
                fewer = overridden(service, {"count": service.desired - 1}, service.spec)
                service = await self._facts.put_service(fewer)
                await self._tell("service.scaled", service, f"{fewer.desired} wanted: a routing was removed by hand")
            await self._parts.loop.drain(routing_id, "removed by hand" + (", to be replaced" if replaced else ""))
        await self._parts.loop.look_now()
        return self._view(self._find(service.id))

    def _launch(self, service: Service) -> LaunchView:
        return present.launch_of(service, self._around())

    def _declared(self, service: Service, file: ServiceSpec) -> LaunchView:
        """What its definition says by itself."""
        return self._launch(replace(service, spec=file, override_desired=None, removing=False))

    # --- started by hand

    async def _launch_anew(self, service: Service, given: Given) -> None:
        launch = relaunched(service.launch or {}, given)
        base = await self._reading(service, {"definition": launch.get("definition")})
        plain = self._declared(service, base[1])
        if gone := taken_away(given, plain):
            raise _declared_in(service, gone, str(base[0].file), "edit it there")
        reading, spec = await self._reading(service, launch)
        if spec.name != service.name:  # another definition, whose model is named otherwise
            launch["name"] = service.name
            reading, spec = await self._reading(service, launch)
        launch = without_defaults(launch, {k: v for k, v in given.items() if k != "definition"}, plain)
        changed = replace(service, launch=launch, rejected=None, attempts=Attempts())
        if "count" in given:
            changed = replace(changed, override_desired=None, override_over=None)
        changed = update(changed, spec, reading.digest, reading.problems)
        cause = f"modified by hand: {_said(given, self._launch(service))}"
        stored = await self._facts.put_service(changed, cause, by="api", definition=reading.texts)
        await self._tell("service.modified", stored, cause)

    async def _reading(self, service: Service, launch: Mapping[str, Any]) -> tuple[Reading, ServiceSpec]:
        """What its folder says with `launch` laid over it. Raises `InvalidInput`."""
        reading = await self._parts.reader.reading_of(Path(service.folder), launch)
        refuse_invalid(reading, f"cannot modify {service.name}")
        found = [s for s in reading.services if s.model_name == service.model] or list(reading.services)
        if len(found) != 1:
            text = f"cannot modify {service.name}: {reading.file} has no model {service.model!r}"
            raise InvalidInput(text, hint="`orchestrator validate` shows what it has")
        return reading, found[0]

    # --- declared by a folder

    async def _modify_declared(self, service: Service, given: Given, *, edit: bool) -> None:
        if "definition" in given:
            where = f'config.toml ([folders."{Path(service.folder).name}"])'
            raise _declared_in(service, ["definition"], where, "edit it there")
        reading, file = await self._reading(service, {})
        _, wanted = await self._reading(service, {name: value for name, value in given.items() if value is not None})
        gone = taken_away(given, self._declared(service, file))
        hot = {name: getattr(file if given[name] is None else wanted, HOT[name]) for name in given if name in HOT}
        if edit:
            await self._edit(service, given, gone, reading, wanted)
            changed = launching.reset(service, list(hot))
        else:
            cold = [c.path for c in field_changes(file, wanted) if c.path not in HOT_PATHS.values()]
            if cold := [*cold, *(_path(key) for key in gone)]:
                hint = f"edit it there, or `orchestrator modify {service.name} … --edit` does it"
                raise _declared_in(service, cold, str(reading.file), hint, there=False)
            changed = overridden(service, hot, file)
        if changed != service:
            await self._facts.put_service(changed)
        where = f" in {reading.file}" if edit else ""
        await self._tell("service.modified", changed, f"modified by hand{where}: {_said(given, self._launch(service))}")

    async def _edit(
        self, service: Service, given: Given, gone: Sequence[str], reading: Reading, wanted: ServiceSpec
    ) -> None:
        """Write it into the definition; the text is taken only if it says this and nothing else."""
        assert reading.file is not None
        path, text = reading.file, reading.texts[reading.file.name]
        values = deployment_of({name: value for name, value in given.items() if value is not None})
        back = [KEYS[name] for name, value in given.items() if value is None]
        settings, runtime = self._parts.settings, self._parts.runtime.name

        def make() -> tuple[str, Reading]:
            after = edited(text, service.model, values, [*back, *gone])
            return after, read_folder(Path(service.folder), settings, runtime=runtime, file=path, data=after.encode())

        after, now = await asyncio.to_thread(make)
        refuse_invalid(now, f"cannot modify {service.name}")
        if why := _not_as_asked(service.model, reading, now, wanted, back, gone):
            raise Conflict(f"cannot edit {path}: {why}", hint=NOT_BY_US, code="not_editable")
        await asyncio.to_thread(write_definition, path, text, after, settings)


def _not_as_asked(
    model: str, before: Reading, after: Reading, wanted: ServiceSpec, back: Sequence[str], gone: Sequence[str]
) -> str:
    """Why the edited text says anything else than what was asked for (a shared anchor, a key of another file)."""
    others = [[s for s in one.services if s.model_name != model] for one in (before, after)]
    mine = next((s for s in after.services if s.model_name == model), None)
    if mine is None or others[0] != others[1]:
        return "other services would change, too"
    free = {_path(key) for key in (*back, *gone)}
    paths = [c.path for c in field_changes(wanted, mine)]
    wrong = [path for path in paths if path not in free] + [_path(k) for k in gone if _has(mine, k)]
    return f"{', '.join(wrong)} would not be as asked" if wrong else ""


def _path(key: str) -> str:
    """Of a deployment key (`image`, `environ.KEY`), as changes are told."""
    name, dot, inner = key.partition(".")
    return join(f"deployment.{name}", inner) if dot else f"deployment.{name}"


def _has(spec: ServiceSpec, key: str) -> bool:
    name, _, inner = key.partition(".")
    return inner in getattr(spec.routing, name)


def _refuse_name(service: Service, given: Given) -> None:
    if "name" in given:
        hint = "start another service of the folder with --name, then remove this one"
        raise InvalidInput(
            f"cannot rename {service.name}: its address and its tokens carry its name", hint=hint, code="name_fixed"
        )


def _declared_in(service: Service, keys: Sequence[str], where: str, hint: str, *, there: bool = True) -> Conflict:
    """`there`: the file says them; else it is where they would be said."""
    verb = ("are declared in" if len(keys) > 1 else "is declared in") if there else "can only be declared in"
    text = f"cannot modify {service.name}: {', '.join(keys)} {verb} {where}"
    return Conflict(text, hint=hint, code="declared_in_file")


def _said(given: Given, before: LaunchView) -> str:
    """`count 1 → 3, environ`."""
    shown = before.model_dump(mode="json")
    return ", ".join(
        f"{name} {_short(shown.get(name))} → {_short(value)}" if not isinstance(value, dict | list) else name
        for name, value in given.items()
    )


def _short(value: object) -> str:
    return "as defined" if value is None else str(value).lower() if isinstance(value, bool) else str(value)[:60]
