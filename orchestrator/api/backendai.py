"""The paths, bodies and field names of Backend.AI's service API, answered by what `/v1` does."""

from __future__ import annotations

from aiohttp import web

from orchestrator import __version__
from orchestrator.api.control import Control
from orchestrator.api.routes import Route, answer, answer_many, body, parameters
from orchestrator.core.backendai import (
    ActiveRoute,
    CompactService,
    CreatedService,
    CreateRequest,
    ErrorList,
    Modification,
    RouteError,
    Scaled,
    ScaleTo,
    ServiceInfo,
    Success,
    TokenFor,
    TokenText,
    Versions,
)
from orchestrator.core.errors import Conflict, InvalidInput, NotFound
from orchestrator.core.revision_views import RatioRequest
from orchestrator.core.state import RoutingStatus
from orchestrator.core.token_views import TokenRequest
from orchestrator.core.views import Request, RoutingView, ServiceDetail, ServiceView, instant


class ListQuery(Request):
    name: str | None = None
    """Only the service of this name."""


async def versions(_: web.Request, __: Control) -> web.Response:
    return answer(Versions(version="v1", manager=__version__))


async def ls(request: web.Request, control: Control) -> web.Response:
    name = parameters(request, ListQuery).name
    return answer_many([_compact(s) for s in await control.services() if s.id and name in (None, s.name)])


async def create(request: web.Request, control: Control) -> web.Response:
    wanted = await body(request, CreateRequest)
    try:
        started = await control.start(wanted.launch(wanted.config.model))
    except NotFound as error:
        folder = await _folder_of(wanted.config.model, control)
        if folder is None:
            raise error from None
        started = await control.start(wanted.launch(folder))
    return answer(
        CreatedService(
            endpoint_id=started.id,
            name=started.name,
            replicas=started.desired_routing_count,
            desired_session_count=started.desired_routing_count,
            active_route_count=started.healthy,
            service_endpoint=_url(started),
            is_public=started.open_to_public,
        )
    )


async def _folder_of(model: str, control: Control) -> str | None:
    """The folder of the one model that is named so. Raises `Conflict` naming the folders where there are more."""
    folders = sorted({s.folder for s in await control.services() if s.model == model})
    if len(folders) > 1:
        text = f"cannot create the service: there is a model {model} in {', '.join(folders)}"
        raise Conflict(text, hint="name the folder", code="ambiguous_model")
    return folders[0] if folders else None


async def info(request: web.Request, control: Control) -> web.Response:
    return answer(_info(await control.service(request.match_info["ref"])))


async def modify(request: web.Request, control: Control) -> web.Response:
    wanted = await body(request, Modification)
    await control.modify(request.match_info["ref"], wanted.modification())
    return answer(_info(await control.service(request.match_info["ref"])))


async def sync(request: web.Request, control: Control) -> web.Response:
    await control.sync(request.match_info["ref"])
    return answer(Success())


async def delete(request: web.Request, control: Control) -> web.Response:
    await control.remove(request.match_info["ref"])
    return answer(Success())


async def scale(request: web.Request, control: Control) -> web.Response:
    wanted = await body(request, ScaleTo)
    ref = request.match_info["ref"]
    before = await control.service(ref)
    await control.scale(ref, wanted.to)
    return answer(Scaled(current_route_count=len(_active(before)), target_count=wanted.to))


async def token(request: web.Request, control: Control) -> web.Response:
    wanted = await body(request, TokenFor)
    if wanted.duration is not None and wanted.valid_until is not None:
        raise InvalidInput("cannot create a token: duration and valid_until are given", hint="leave one of them out")
    expires = None if wanted.duration is None else str(wanted.duration)
    if wanted.valid_until is not None:
        expires = instant(float(wanted.valid_until)).isoformat()
    service = await control.service(request.match_info["ref"])
    made = await control.token_create(TokenRequest(service=service.name, expires=expires))
    return answer(TokenText(token=made.token or ""))


async def errors(request: web.Request, control: Control) -> web.Response:
    service = await control.service(request.match_info["ref"])
    found = [_error(r.id, "failed_to_start", r.cause) for r in service.routings if r.status == "FAILED_TO_START"]
    found += [_error(None, "definition_invalid", p.message) for p in service.problems if p.severity == "error"]
    return answer(ErrorList(errors=tuple(found), retries=service.attempts))


async def clear(request: web.Request, control: Control) -> web.Response:
    await control.retry(request.match_info["ref"])
    return web.Response(status=204)


async def downscale(request: web.Request, control: Control) -> web.Response:
    """One routing less. One that is PROVISIONING is not removed."""
    found = await _routing(request, control)
    if found.status == RoutingStatus.PROVISIONING:
        raise InvalidInput(f"cannot remove routing {found.id}: it is PROVISIONING", hint="scale the service instead")
    await control.remove_routing(found.id, replaced=False)
    return answer(Success())


async def _routing(request: web.Request, control: Control) -> RoutingView:
    """Raises `NotFound` where the service has none of that id."""
    service, ident = await control.service(request.match_info["ref"]), request.match_info["id"]
    found = next((r for r in service.routings if r.id == ident), None)
    if found is None:
        raise NotFound(f"the service {service.name} has no routing {ident!r}")
    return found


async def ratio(request: web.Request, control: Control) -> web.Response:
    wanted = await body(request, RatioRequest)
    await control.set_ratio((await _routing(request, control)).id, wanted.traffic_ratio)
    return answer(Success())


def _error(routing: str | None, name: str, text: str) -> RouteError:
    return RouteError(session_id=routing, error={"src": "orchestrator", "name": name, "repr": text})


def _url(service: ServiceView) -> str | None:
    return service.endpoint if service.served else None


def _active(service: ServiceDetail) -> list[ActiveRoute]:
    gone = (RoutingStatus.FAILED_TO_START, RoutingStatus.TERMINATING)
    return [
        ActiveRoute(route_id=r.id, session_id=r.id, traffic_ratio=r.traffic_ratio, status=r.status)
        for r in service.routings
        if r.status not in gone
    ]


def _compact(service: ServiceView) -> CompactService:
    return CompactService(
        id=service.id,
        name=service.name,
        replicas=service.desired_routing_count,
        desired_session_count=service.desired_routing_count,
        active_route_count=service.healthy,
        service_endpoint=_url(service),
        is_public=service.open_to_public,
        status=service.status,
    )


def _info(service: ServiceDetail) -> ServiceInfo:
    return ServiceInfo(
        endpoint_id=service.id,
        name=service.name,
        model_id=service.folder,
        replicas=service.desired_routing_count,
        desired_session_count=service.desired_routing_count,
        active_routes=tuple(_active(service)),
        url=_url(service),
        service_endpoint=_url(service),
        is_public=service.open_to_public,
        status=service.status,
        cause=service.cause,
    )


_ONE = "/services/{ref}"
_CREATE, _RATIO = "Create a service of a model folder", "Set a routing's share of the requests"

ROUTES = (
    Route("GET", "/version", "read", versions, "Versions of API and daemon", response=Versions),
    Route("GET", "/services", "read", ls, "List services", response=CompactService, many=True, query=ListQuery),
    Route("POST", "/services", "admin", create, _CREATE, CreateRequest, CreatedService, refuses=(404, 409)),
    Route("GET", _ONE, "read", info, "Show one service", response=ServiceInfo, refuses=(404,)),
    Route("PATCH", _ONE, "admin", modify, "Modify a service", Modification, ServiceInfo, refuses=(409,)),
    Route("POST", _ONE + "/sync", "admin", sync, "Publish a service's routings anew", response=Success),
    Route("DELETE", _ONE, "admin", delete, "Remove a service", response=Success, refuses=(404,)),
    Route("POST", _ONE + "/scale", "admin", scale, "Set the routing count", ScaleTo, Scaled, refuses=(404, 409)),
    Route("POST", _ONE + "/token", "admin", token, "Create a token", TokenFor, TokenText, refuses=(404, 409)),
    Route("GET", _ONE + "/errors", "read", errors, "Why routings failed", response=ErrorList, refuses=(404,)),
    Route("POST", _ONE + "/errors/clear", "admin", clear, "Clear error and retry", status=204, refuses=(404,)),
    Route("DELETE", _ONE + "/routings/{id}", "admin", downscale, "Remove a routing", None, Success, refuses=(400, 409)),
    Route("PUT", _ONE + "/routings/{id}", "admin", ratio, _RATIO, RatioRequest, Success, refuses=(404, 409)),
)
