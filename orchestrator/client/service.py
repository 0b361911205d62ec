"""Services as the SDK shows them: `Session.Service` and `AsyncSession.Service`, in the words of Backend.AI."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote
from uuid import uuid4

from pydantic import BaseModel, TypeAdapter

from orchestrator.client.client import Client
from orchestrator.client.driving import Awaited, Blocking, Driver, both
from orchestrator.core.backendai import CreateConfig, CreateRequest, MountOptions, ScaleTo, TokenFor
from orchestrator.core.errors import NotFound, OrchestratorError, Unavailable
from orchestrator.core.revision_views import RatioRequest
from orchestrator.core.state import ServiceStatus

One = TypeVar("One")
Amount = int | float | str
_DELAYS = (0.2, 0.8)
"""Seconds before a request is sent again."""
_DONE = (ServiceStatus.HEALTHY, ServiceStatus.STOPPED)


class Result(dict[str, Any]):
    """An answer: a mapping whose keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Wire:
    """Requests to `/services…`. Sent again are only those that never arrived, and reads that were cut off."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def ask(
        self, method: str, path: str, *, body: BaseModel | None = None, query: Mapping[str, object] | None = None
    ) -> Any:
        for delay in (*_DELAYS, None):
            try:
                data = await self.client.ask(method, path, body=body, query=query)
                return TypeAdapter(Any).validate_json(data) if data else {}
            except Unavailable as error:
                again = error.code == "no_daemon" or (method == "GET" and error.code == "unavailable")
                if delay is None or not again:
                    raise
                await asyncio.sleep(delay)
        raise AssertionError

    async def wait(self, path: str, wanted: Literal["healthy", "gone"], seconds: float) -> bool:
        """Whether it came within `seconds`; a service that is STOPPED is not waited for."""
        try:
            async with asyncio.timeout(seconds):
                while (await self._status(path)) not in (_DONE if wanted == "healthy" else ("",)):  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
        except TimeoutError:
            return False
        return True

    async def _status(self, path: str) -> str:
        """Empty: it is gone."""
        try:
            return str((await self.ask("GET", path))["status"])
        except NotFound:
            return ""


class BaseService(Mapping[str, Any]):
    """One service, by id or name; also a mapping of what its creation was answered with."""

    def __init__(self, ref: str, wire: Wire, drive: Driver | None, created: Mapping[str, Any] | None = None) -> None:
        self.id = ref
        self._wire = wire
        self._path = f"/services/{quote(ref, safe='')}"
        self._created = created or {"endpoint_id": ref}
        if drive is not None:
            self._drive = drive

    def __getitem__(self, key: str) -> Any:
        return self._created[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._created)

    def __len__(self) -> int:
        return len(self._created)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self)})"

    @both
    async def info(self) -> Result:
        """Of `core.backendai.ServiceInfo`; `url` is None until a routing was HEALTHY for the first time."""
        return Result(await self._wire.ask("GET", self._path))

    @both
    async def delete(self) -> Result:
        return Result(await self._wire.ask("DELETE", self._path))

    @both
    async def scale(self, to: int) -> Result:
        """`current_route_count` and `target_count`."""
        return Result(await self._wire.ask("POST", self._path + "/scale", body=ScaleTo(to=to)))

    @both
    async def generate_api_token(self, duration: str | int = "30d") -> Result:
        """Its text is `token`; `never`: it does not expire."""
        return Result(await self._wire.ask("POST", self._path + "/token", body=TokenFor(duration=duration)))

    @both
    async def update_traffic_ratio(self, route_id: str, ratio: float) -> Result:
        path = f"{self._path}/routings/{quote(route_id, safe='')}"
        return Result(await self._wire.ask("PUT", path, body=RatioRequest(traffic_ratio=ratio)))

    @both
    async def errors(self) -> Result:
        """`errors`, a list, and `retries`."""
        return Result(await self._wire.ask("GET", self._path + "/errors"))

    @both
    async def clear_error(self) -> None:
        await self._wire.ask("POST", self._path + "/errors/clear")

    @both
    async def wait(self, wanted: Literal["healthy", "gone"] = "healthy", timeout: float = 60.0) -> bool:
        """Whether it came within `timeout` seconds."""
        return await self._wire.wait(self._path, wanted, timeout)


class Service(BaseService, Blocking):
    """Of a Session."""


class AsyncService(BaseService, Awaited):
    """Of an AsyncSession."""


class BaseServices(Generic[One]):
    """`session.Service`: what there is, and new ones. Called with an id or a name: that service."""

    def __init__(self, wire: Wire, drive: Driver | None, kind: type[One]) -> None:
        self._wire = wire
        self._kind: Any = kind
        self._of = drive
        if drive is not None:
            self._drive = drive

    def __call__(self, ref: str) -> One:
        return self._kind(ref, self._wire, self._of)  # type: ignore[no-any-return]

    @both
    async def list(self, name: str | None = None) -> Sequence[Result]:
        return [Result(one) for one in await self._wire.ask("GET", "/services", query={"name": name})]

    @both
    async def detail(self, service_id: str) -> Result:
        return Result(await self._wire.ask("GET", f"/services/{quote(service_id, safe='')}"))

    @both
    async def create(
        self,
        image: str | None,
        model_id_or_name: str,
        initial_session_count: int = 1,
        *,
        service_name: str | None = None,
        resources: Mapping[str, Amount] | None = None,
        resource_opts: Mapping[str, Amount] | None = None,
        open_to_public: bool = False,
        expose_to_public: bool = False,
        envs: Mapping[str, str] | None = None,
        extra_mounts: Sequence[str] = (),
        extra_mount_map: Mapping[str, str] | None = None,
        model_mount_destination: str | None = None,
        model_definition_path: str | None = None,
        domain_name: str = "default",
        group_name: str = "default",
        scaling_group: str | None = None,
        cluster_size: int = 1,
        cluster_mode: str = "SINGLE_NODE",
        runtime_variant: str = "custom",
        max_wait: float = 60.0,
    ) -> One:
        """Start a model folder (its name or path), else the model of that name, and wait `max_wait` seconds at most
        for the first HEALTHY. Without room its routings wait. Raises `Conflict` where the name is taken."""
        targets = extra_mount_map or {}
        config = CreateConfig(
            model=model_id_or_name,
            model_mount_destination=model_mount_destination,
            model_definition_path=model_definition_path,
            extra_mounts={name: MountOptions(mount_destination=targets.get(name)) for name in extra_mounts},
            environ=envs,
            scaling_group=scaling_group,
            resources=resources,
            resource_opts=resource_opts,
        )
        request = CreateRequest(
            name=service_name or f"service-{uuid4().hex[:8]}",
            desired_session_count=initial_session_count,
            image=image,
            open_to_public=open_to_public or expose_to_public,
            domain=domain_name,
            group=group_name,
            cluster_size=cluster_size,
            cluster_mode=cluster_mode,
            runtime_variant=runtime_variant,
            config=config,
        )
        created = await self._wire.ask("POST", "/services", body=request)
        await self._settle(created["endpoint_id"], max_wait)
        return self._kind(created["endpoint_id"], self._wire, self._of, created)  # type: ignore[no-any-return]

    async def _settle(self, ref: str, seconds: float) -> None:
        """The service is there: trouble while it is waited for is not the creation's."""
        try:
            await self._wire.wait(f"/services/{ref}", "healthy", seconds)
        except OrchestratorError:
            return


class Services(BaseServices[Service], Blocking):
    """Of a Session."""


class AsyncServices(BaseServices[AsyncService], Awaited):
    """Of an AsyncSession."""
