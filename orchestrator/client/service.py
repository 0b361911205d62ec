"""Services as the SDK shows them: `Session.Service` and `AsyncSession.Service`, in the words of Backend.AI."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from enum import Enum
from typing import Any, Final, Generic, Literal, TypeVar
from urllib.parse import quote
from uuid import uuid4

from orchestrator.client.driving import Awaited, Blocking, Driver, both, streamed
from orchestrator.client.results import Answered, Page, Result, paged
from orchestrator.client.tried import AsyncTry, Try
from orchestrator.client.wire import Wire
from orchestrator.core.backendai import Amount, CreateRequest, Modification, ScaleTo, TokenFor
from orchestrator.core.error_views import checked
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.revision_views import RatioRequest

One = TypeVar("One")
Tried = TypeVar("Tried")
_MODIFIED = (
    *("desired_session_count", "image", "open_to_public", "resources", "resource_opts", "extra_mounts"),
    *("model_definition_path", "scaling_group", "cluster_size", "cluster_mode"),
)


class Keep(Enum):
    """Stands for what is not given: it stays as it is."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


class BaseService(Answered):
    """One service, by id or name; also a mapping of what its creation was answered with."""

    def __init__(self, ref: str, wire: Wire, drive: Driver | None, created: Mapping[str, Any] | None = None) -> None:
        super().__init__(created or {"endpoint_id": ref})
        self.id = ref
        self._wire = wire
        self._path = f"/services/{quote(ref, safe='')}"
        if drive is not None:
            self._drive = drive

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
    async def sync(self) -> Result:
        """Have its folder read again, and the gateway told anew what serves."""
        return Result(await self._wire.ask("POST", self._path + "/sync"))

    @both
    async def update(
        self,
        *,
        desired_session_count: int | Keep | None = KEEP,
        image: str | Keep | None = KEEP,
        open_to_public: bool | Keep | None = KEEP,
        resources: Mapping[str, Amount] | Keep | None = KEEP,
        resource_opts: Mapping[str, Amount] | Keep | None = KEEP,
        envs: Mapping[str, str] | Keep | None = KEEP,
        extra_mounts: Mapping[str, Mapping[str, str]] | Keep | None = KEEP,
        model_definition_path: str | Keep | None = KEEP,
        scaling_group: str | Keep | None = KEEP,
        cluster_size: int | Keep | None = KEEP,
        cluster_mode: str | Keep | None = KEEP,
        edit: bool = False,
    ) -> Result:
        """Change what is given; None: as the definition says. A mapping is the whole of it. Of what a folder declares
        only the count and open_to_public change, unless `edit`: then the rest is written into its definition. Raises
        `Conflict` (declared_in_file). Answers as `info` does."""
        told = locals()
        given = {name: told[name] for name in _MODIFIED if told[name] is not KEEP}
        given |= {"environ": envs} if envs is not KEEP else {}
        body = checked(Modification, given | ({"edit": True} if edit else {}))
        return Result(await self._wire.ask("PATCH", self._path, body=body))

    @both
    async def generate_api_token(self, duration: str | int = "30d") -> Result:
        """Its text is `token`; `never`: it does not expire."""
        return Result(await self._wire.ask("POST", self._path + "/token", body=TokenFor(duration=duration)))

    @both
    async def update_traffic_ratio(self, route_id: str, ratio: float) -> Result:
        path = f"{self._path}/routings/{quote(route_id, safe='')}"
        return Result(await self._wire.ask("PUT", path, body=RatioRequest(traffic_ratio=ratio)))

    @both
    async def downscale_single_route(self, route_id: str) -> Result:
        """End this one routing; the count is one less from then on. One that is PROVISIONING is refused."""
        return Result(await self._wire.ask("DELETE", f"{self._path}/routings/{quote(route_id, safe='')}"))

    @streamed
    async def logs(
        self, *, follow: bool = False, tail: int | None = None, since: float | None = None
    ) -> AsyncGenerator[Result, None]:
        """Lines of its routings' logs, each of `core.views.LogEntry`: `time`, `routing`, `stream`, `text`. `tail`: the
        last of each routing; `since` in seconds since the epoch; `follow`: go on with what comes."""
        async with aclosing(self._wire.client.logs(self.id, follow=follow, tail=tail, since=since)) as lines:
            async for line in lines:
                yield Result(line.model_dump())

    @streamed
    async def events(self, *, follow: bool = False, after: int = 0, limit: int = 100) -> AsyncGenerator[Result, None]:
        """What happened to it, each of `core.views.EventView`: the latest `limit` whose `seq` is above `after`."""
        name = (await self._wire.ask("GET", self._path))["name"]
        client = self._wire.client
        if not follow:
            for event in await client.events(after=after, service=name, limit=limit):
                yield Result(event.model_dump())
            return
        async with aclosing(client.follow_events(after=after, service=name, limit=limit)) as events:
            async for event in events:
                yield Result(event.model_dump())

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


class BaseServices(Generic[One, Tried]):
    """`session.Service`: what there is, and new ones. Called with an id or a name: that service."""

    def __init__(self, wire: Wire, drive: Driver | None, kind: type[One], tried: type[Tried]) -> None:
        self._wire = wire
        self._kind: Any = kind
        self._tried: Any = tried
        self._of = drive
        if drive is not None:
            self._drive = drive

    def __call__(self, ref: str) -> One:
        return self._kind(ref, self._wire, self._of)  # type: ignore[no-any-return]

    @both
    async def list(self, name: str | None = None) -> Sequence[Result]:
        return [Result(one) for one in await self._wire.ask("GET", "/services", query={"name": name})]

    @both
    async def paginated_list(
        self,
        fields: Sequence[str] | None = None,
        *,
        page_offset: int = 0,
        page_size: int = 20,
        filter: str | None = None,
        order: str | None = None,
    ) -> Page:
        """A page of `list`, with `total_count`, `items` and `fields`. `filter` such as `status == "HEALTHY"`, several
        joined by `&`; `order` such as `-name`."""
        rows = [Result(one) for one in await self._wire.ask("GET", "/services")]
        return paged(rows, fields, page_offset, page_size, filter, order)

    @both
    async def runtimes(self) -> Sequence[Result]:
        """Known values of `runtime_variant`."""
        return [Result(one) for one in (await self._wire.ask("GET", "/services/_/runtimes"))["runtimes"]]

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
        extra_mount_options: Mapping[str, Mapping[str, str]] | None = None,
        model_mount_destination: str | None = None,
        model_definition_path: str | None = None,
        domain_name: str = "default",
        group_name: str = "default",
        scaling_group: str | None = None,
        cluster_size: int | None = None,
        cluster_mode: str | None = None,
        runtime_variant: str = "custom",
        max_wait: float = 60.0,
    ) -> One:
        """Start a model folder (its name or path), else the model of that name, and wait `max_wait` seconds at most
        for the first HEALTHY. Without room its routings wait. Raises `Conflict` where the name is taken."""
        request = _create_request(locals())
        created = await self._wire.ask("POST", "/services", body=request)
        await self._settle(created["endpoint_id"], max_wait)
        return self._kind(created["endpoint_id"], self._wire, self._of, created)  # type: ignore[no-any-return]

    @both
    async def try_start(
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
        extra_mount_options: Mapping[str, Mapping[str, str]] | None = None,
        model_mount_destination: str | None = None,
        model_definition_path: str | None = None,
        domain_name: str = "default",
        group_name: str = "default",
        scaling_group: str | None = None,
        cluster_size: int | None = None,
        cluster_mode: str | None = None,
        runtime_variant: str = "custom",
    ) -> Tried:
        """Run such a service once, for real, until its health check passes, in the background. It takes no requests and
        is gone afterwards; it goes on without this session."""
        begun = await self._wire.ask("POST", "/services/_/try", body=_create_request(locals()))
        return self._tried(begun, self._wire, self._of)  # type: ignore[no-any-return]

    async def _settle(self, ref: str, seconds: float) -> None:
        """The service is there: trouble while it is waited for is not the creation's."""
        try:
            await self._wire.wait(f"/services/{ref}", "healthy", seconds)
        except OrchestratorError:
            return


def _create_request(told: Mapping[str, Any]) -> CreateRequest:
    """From the arguments of `create`."""
    targets, options = told["extra_mount_map"] or {}, told["extra_mount_options"] or {}
    mounts = {name: {"mount_destination": targets.get(name), **options.get(name, {})} for name in told["extra_mounts"]}
    config = {
        "model": told["model_id_or_name"],
        "model_mount_destination": told["model_mount_destination"],
        "model_definition_path": told["model_definition_path"],
        "extra_mounts": mounts,
        "environ": told["envs"],
        "scaling_group": told["scaling_group"],
        "resources": told["resources"],
        "resource_opts": told["resource_opts"],
    }
    return checked(
        CreateRequest,
        {
            "name": told["service_name"] or f"service-{uuid4().hex[:8]}",
            "desired_session_count": told["initial_session_count"],
            "image": told["image"],
            "open_to_public": told["open_to_public"] or told["expose_to_public"],
            "domain": told["domain_name"],
            "group": told["group_name"],
            "cluster_size": told["cluster_size"],
            "cluster_mode": told["cluster_mode"],
            "runtime_variant": told["runtime_variant"],
            "config": config,
        },
    )


class Services(BaseServices[Service, Try], Blocking):
    """Of a Session."""


class AsyncServices(BaseServices[AsyncService, AsyncTry], Awaited):
    """Of an AsyncSession."""
