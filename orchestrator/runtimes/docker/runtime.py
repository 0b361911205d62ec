"""The Docker Engine as a runtime: what `core.ports.Runtime` asks for, put together from the parts beside this file."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import docker

from orchestrator.core.errors import NotFound, RuntimeFailure, Unavailable
from orchestrator.core.listening import Listener
from orchestrator.core.ports import (
    Command,
    Created,
    Invocation,
    LogLine,
    PullProgress,
    RuntimeInfo,
    Unit,
    Unpacked,
    Usage,
)
from orchestrator.core.state import Group, Observed
from orchestrator.runtimes.docker import (
    ending,
    files,
    gate,
    images,
    listening,
    logs,
    network,
    observe,
    options,
    preparing,
    usage,
)
from orchestrator.runtimes.docker.client import Body, Engine, events, opened
from orchestrator.runtimes.docker.execution import ContainerExecution, execute
from orchestrator.runtimes.docker.options import Place
from orchestrator.runtimes.docker.prepared import Prepared
from orchestrator.runtimes.docker.sandbox import ContainerSandbox
from orchestrator.runtimes.host import nvidia_devices
from orchestrator.settings import DockerSettings

LOOK_LIMIT = 15.0
"""Seconds for a call that only looks."""
EVENTS = ("create", "start", "die", "oom", "pause", "unpause", "destroy")


class DockerRuntime:
    """`installation`: its id, on every container and network; others' are never looked at. Nothing is kept in
    `state_dir`, the engine knows all; files wait there on their way."""

    name = "docker"
    exclusive_ports = False

    def __init__(self, settings: DockerSettings, installation: str, state_dir: Path) -> None:
        self._settings = settings
        self._installation = installation
        self._disk = state_dir
        self._network = settings.network or f"orchestrator-{installation}"
        self._engine = Engine(settings.host)
        self._prepared: dict[str, Prepared] = {}
        self._published: bool | None = None
        self._networking = asyncio.Lock()

    async def info(self) -> RuntimeInfo:
        facts = await self._engine.call("ask the engine about itself", lambda api: api.info(), limit=LOOK_LIMIT)
        devices = await nvidia_devices()
        slots = {"cpu": float(facts["NCPU"]), "mem": float(facts["MemTotal"]), "cuda.device": float(len(devices))}
        detail = {
            "storage": str(facts.get("Driver", "")),
            "cgroup": f"v{facts.get('CgroupVersion', '1')} ({facts.get('CgroupDriver', '')})",
            "live restore": "on" if facts.get("LiveRestoreEnabled") else "off: routings end when the engine restarts",
            "system": str(facts.get("OperatingSystem", "")),
            "folder": str(facts.get("DockerRootDir", "")),
            "network": self._network,
        }
        return RuntimeInfo(self.name, str(facts.get("ServerVersion", "")), Group("default", slots, devices), detail)

    async def observe(self) -> Sequence[Observed]:
        waiting = frozenset(prepared.container for prepared in self._prepared.values() if prepared.waiting)
        return await self._engine.call(
            "look at the containers",
            lambda api: observe.observe(api, self._installation, waiting),
            limit=LOOK_LIMIT,
        )

    async def owns_listener(self, unit_id: str, port: int) -> bool:  # noqa: ARG002
        return True

    async def listeners(self, unit_id: str) -> Sequence[Listener] | None:
        container, doing = await self._container(unit_id), "look for what a container listens on"
        return await self._engine.call(doing, lambda api: listening.listeners(api, container), limit=LOOK_LIMIT)

    async def usage(self) -> Mapping[str, Usage]:
        doing = "look at what containers take"
        return await self._engine.call(doing, lambda api: usage.usage(api, self._installation), limit=LOOK_LIMIT)

    async def events(self) -> AsyncIterator[str]:
        filters = {**observe.ours(self._installation), "type": ["container"], "event": list(EVENTS)}

        def source(api: docker.APIClient) -> Body[dict[str, Any]]:
            return Body(opened(api, "GET", "/events", params={"filters": json.dumps(filters)}), events)

        async with contextlib.aclosing(self._engine.stream("follow the engine's events", source)) as batches:
            async for batch in batches:
                for unit_id in dict.fromkeys(event["Actor"]["Attributes"].get(options.ROUTING, "") for event in batch):
                    yield unit_id
        raise Unavailable("cannot follow the engine's events: it ended them", code="engine_unavailable")

    async def ensure_image(self, unit: Unit, progress: Callable[[PullProgress], None]) -> str:
        return await images.ensure(self._engine, self._image(unit), self._settings.pull, progress)

    async def has_image(self, image: str) -> bool:
        name = f"look for image {image}"
        return bool(await self._engine.call(name, lambda api: images.image_id(api, image), limit=LOOK_LIMIT))

    async def create(self, unit: Unit) -> Created:
        image = self._image(unit)
        await self.remove(unit.id)
        place = await self._place()
        doing = f"create the container of {unit.service}"
        try:
            prepared = await self._engine.call(doing, lambda api: preparing.create(api, unit, image, place))
        except BaseException:
            await asyncio.shield(self._discard(unit.id))
            raise
        self._prepared[unit.id] = prepared
        return Created(prepared.container, unit.spec.port)

    async def clear(self) -> None:
        doing = "remove the installation's network"
        await self._engine.call(doing, lambda api: network.remove_network(api, self._network, self._installation))

    def sandbox(self, unit_id: str) -> ContainerSandbox:
        return ContainerSandbox(self._engine, lambda: self._preparation(unit_id))

    async def start(self, unit_id: str, command: Command) -> None:
        prepared = await self._preparation(unit_id)
        async with prepared.lock:
            await self._engine.call(f"start {prepared.service}", lambda api: _start(api, prepared, command))
        self._prepared.pop(unit_id, None)

    async def stop(self, unit_id: str, grace: float) -> None:
        with contextlib.suppress(NotFound):
            await ending.stop(self._engine, await self._container(unit_id), grace)

    async def remove(self, unit_id: str) -> None:
        self._prepared.pop(unit_id, None)
        await self._engine.call("remove a container", lambda api: self._remove_all(api, unit_id))

    async def logs(
        self, unit_id: str, *, follow: bool = False, tail: int | None = None, since: float | None = None
    ) -> AsyncIterator[LogLine]:
        container = await self._container(unit_id)
        prepared = self._prepared.get(unit_id)
        if prepared is not None and prepared.notes and not follow:
            for line in prepared.notes[max(len(prepared.notes) - tail, 0) if tail is not None else 0 :]:
                if since is None or line.time >= since:
                    yield line
            return
        async with contextlib.aclosing(
            logs.lines(self._engine, container, follow=follow, tail=tail, since=since)
        ) as lines:
            async for line in lines:
                yield line

    async def execute(self, unit_id: str, invocation: Invocation) -> ContainerExecution:
        return await execute(self._engine, await self._container(unit_id), invocation)

    async def archive(self, unit_id: str, path: str) -> AsyncIterator[bytes]:
        container = await self._container(unit_id)
        async with contextlib.aclosing(files.read(self._engine, container, path, self._disk)) as blocks:
            async for block in blocks:
                yield block

    async def unpack(self, unit_id: str, path: str, archive: AsyncIterator[bytes], *, folder: bool) -> Unpacked:
        container = await self._container(unit_id)
        prepared = await self._engine.call("look at a container", lambda api: preparing.read(api, container))
        return await files.write(self._engine, prepared, path, archive, self._disk, whole=folder)

    async def close(self) -> None:
        self._prepared.clear()
        await self._engine.close()

    # --- parts ------------------------------------------------------------------------------------------------------

    def _image(self, unit: Unit) -> str:
        if not unit.spec.image:
            raise RuntimeFailure(
                f"cannot start {unit.service}: it names no image",
                hint="set deployment.image, or image under [defaults] in config.toml",
                code="no_image",
            )
        return self._settings.image_aliases.get(unit.spec.image, unit.spec.image)

    async def _preparation(self, unit_id: str) -> Prepared:
        if unit_id not in self._prepared:
            container = await self._container(unit_id)
            prepared = await self._engine.call("look at a container", lambda api: preparing.read(api, container))
            self._prepared.setdefault(unit_id, prepared)
        return self._prepared[unit_id]

    async def _container(self, unit_id: str) -> str:
        found = await self._engine.call("look for a container", lambda api: self._containers(api, unit_id))
        if not found:
            raise NotFound(f"cannot find a container of routing {unit_id}")
        return found[0]

    def _containers(self, api: docker.APIClient, unit_id: str) -> list[str]:
        found = api.containers(all=True, filters=observe.ours(self._installation, unit_id))
        return [str(container["Id"]) for container in found]

    def _remove_all(self, api: docker.APIClient, unit_id: str) -> None:
        for container in self._containers(api, unit_id):
            ending.remove(api, container)

    async def _discard(self, unit_id: str) -> None:
        with contextlib.suppress(
            Unavailable, RuntimeFailure
        ):  # what is left has our labels: an orphan of the next look
            await self.remove(unit_id)

    async def _place(self) -> Place:
        def find(api: docker.APIClient) -> Place:
            if self._published is None:
                self._published = not network.reached_by_ip(api.base_url, api.info())
            network.ensure_network(api, self._network, self._installation)
            return Place(self._installation, self._network, api.api_version, self._published)

        async with self._networking:  # side by side they would make several of one name
            return await self._engine.call("prepare the network", find)


def _start(api: docker.APIClient, prepared: Prepared, command: Command) -> None:
    own = command.argv is None and command.text is None
    folder = prepared.own_folder if own else prepared.folder
    argv = gate.argv_of(api, prepared.container, command, prepared.own)
    gate.check_program(api, prepared.container, argv[0], folder, prepared.path)
    if not prepared.shell:
        preparing.start_anew(api, prepared, argv, folder)
        return
    gate.open_gate(api, prepared.container, argv, folder, [note.text for note in prepared.notes])
    prepared.opened = True
    api.start(prepared.container)  # does nothing where it waits behind its gate
