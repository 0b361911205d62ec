"""Whether the host has room for what a plan would start: ports, disk, images. Capacity is the planner's. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.core.capacity import amount_text
from orchestrator.core.pending import Pending
from orchestrator.core.state import Service

LEAST_DISK = 1 << 30
"""Bytes that must be free where logs, files and layers are written."""


@dataclass(frozen=True, slots=True)
class Host:
    """What was found out about the host before a plan is made."""

    disk: Mapping[str, int] = field(default_factory=dict)
    """Folder to free bytes."""
    images: Mapping[str, bool] = field(default_factory=dict)
    """Image to whether the engine has it; what is not asked for or not known is absent."""
    pull: Literal["missing", "always", "never"] = "missing"
    ports: Mapping[int, str] = field(default_factory=dict)
    """Ports that cannot be listened on, to who has them."""
    hold_seconds: float = 60.0
    """So long requests wait at the gateway at most."""


def lacks(pending: Pending, others: Iterable[Service], host: Host) -> tuple[str, ...]:
    """What is missing for it, in words; `others`: all services as they would be."""
    if pending.wanted.removing:
        return ()
    found = list(_endpoints(pending, others, host))
    if _starts(pending):
        found += _images(pending.wanted, host)
        found += [
            f"needs {amount_text('mem', LEAST_DISK, bare=True)} of disk, {amount_text('mem', free, bare=True)} "
            f"free at {path}"
            for path, free in sorted(host.disk.items())
            if free < LEAST_DISK
        ]
    return tuple(found)


def fetched(pending: Pending, host: Host) -> str:
    """The image that would be fetched first; empty: none."""
    image = pending.wanted.spec.routing.image
    if not image or not _starts(pending) or image not in host.images or host.pull == "never":
        return ""
    return image if host.pull == "always" or not host.images[image] else ""


def _starts(pending: Pending) -> bool:
    """Routings are started for it."""
    before, wanted = pending.before, pending.wanted
    if wanted.removing or wanted.desired == 0:
        return False
    return before is None or before.revision != wanted.revision or before.desired < wanted.desired


def _images(wanted: Service, host: Host) -> Iterator[str]:
    image = wanted.spec.routing.image
    if image and host.pull == "never" and host.images.get(image) is False:
        yield f"image {image} is not there, and images are never fetched here ([docker] pull)"


def _endpoints(pending: Pending, others: Iterable[Service], host: Host) -> Iterator[str]:
    """A port or a host name of its own that somebody else has."""
    wanted, before = pending.wanted, pending.before
    port, name = wanted.spec.endpoint.port, wanted.spec.endpoint.host
    if port is None and name is None:
        return
    for other in others:
        if other.id == wanted.id or other.removing:
            continue
        if port is not None and other.spec.endpoint.port == port:
            yield f"port {port} is taken by the service {other.name}"
        if name is not None and (other.spec.endpoint.host or "").lower() == name.lower():
            yield f"the host name {name} is taken by the service {other.name}"
    is_new = before is None or before.spec.endpoint.port != port
    if port is not None and is_new and port in host.ports:
        yield f"port {port} cannot be listened on: {host.ports[port]}"
