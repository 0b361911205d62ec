"""Makes a container that is ready for its actions: created behind the gate, its user known, /home/work there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import docker

from orchestrator.core.errors import RuntimeFailure
from orchestrator.core.paths import HOME
from orchestrator.core.ports import Unit
from orchestrator.core.spec import RoutingSpec
from orchestrator.runtimes.docker import archive, ending, gate, options
from orchestrator.runtimes.docker.archive import Entry, Owner
from orchestrator.runtimes.docker.options import Place
from orchestrator.runtimes.docker.prepared import Prepared


def create(api: docker.APIClient, unit: Unit, image: str, place: Place) -> Prepared:
    refuse_links(unit.spec)
    body = options.create_options(unit, image, gate.ENTRYPOINT, place)
    network = options.extra_network(unit.spec, place)
    if network:
        api.inspect_network(network)  # one that is missing would be noticed only at the start
    container = _create_named(api, body, options.container_name(unit), place.installation)
    if network:
        api.connect_container_to_network(container, network)
    prepared = read(api, container)
    make_home(api, prepared)
    return prepared


def refuse_links(spec: RoutingSpec) -> None:
    """Raises `RuntimeFailure` where a folder has become a link since its path was resolved (a routing may have what it
    lies in mounted): the engine would follow it, to `/` for one."""
    for source in (spec.model_folder, *(mount.source for mount in spec.mounts)):
        if (real := os.path.realpath(source)) != os.path.normpath(source):
            text = f"cannot mount {source}: it has become a link, to {real}"
            raise RuntimeFailure(text, hint="make it a folder again", code="mount_refused")


def read(api: docker.APIClient, container: str) -> Prepared:
    """What the engine knows of a container and its image."""
    facts = api.inspect_container(container)
    image = api.inspect_image(facts["Image"])["Config"] or {}  # type: ignore[no-untyped-call]
    config = facts["Config"]
    environ = dict(pair.split("=", 1) for pair in config["Env"] or () if "=" in pair)
    opened = gate.is_open(api, container)
    return Prepared(
        container=container,
        service=config["Labels"].get(options.SERVICE, ""),
        image=config["Image"],
        folder=config["WorkingDir"] or "/",
        targets=tuple(mount["Destination"] for mount in facts["Mounts"]),
        shell=gate.has_shell(api, container),
        owner=_owner(api, container, config["User"] or ""),
        own=(*(image.get("Entrypoint") or ()), *(image.get("Cmd") or ())),
        own_folder=image.get("WorkingDir") or config["WorkingDir"] or "/",
        path=environ.get("PATH", ""),
        opened=opened,
        waiting=bool(facts["State"]["Running"]) and not opened,
    )


def start_anew(api: docker.APIClient, prepared: Prepared, argv: Sequence[str], folder: str) -> None:
    """Without a shell there is no gate: the same container again, with its argv, and what was put into it."""
    facts = api.inspect_container(prepared.container)
    ending.remove(api, prepared.container)
    prepared.container = _create(api, _same(facts, argv, folder), facts["Name"].lstrip("/"))
    for network in facts["NetworkSettings"]["Networks"].keys() - {facts["HostConfig"]["NetworkMode"]}:
        api.connect_container_to_network(prepared.container, network)
    make_home(api, prepared)
    for action in prepared.replay:
        action(api, prepared.container)
    prepared.opened = True
    api.start(prepared.container)


def make_home(api: docker.APIClient, prepared: Prepared) -> None:
    """/home/work, writable by the user; left alone where a mount provides it."""
    if prepared.mounted(HOME):
        return
    there = archive.stat(api, prepared.container, HOME)
    if there is not None and prepared.owner == gate.ROOT:
        return
    folder, missing = archive.nearest(api, prepared.container, "/home")
    mode = (there.mode & 0o777) | 0o700 if there is not None else 0o755
    entries = [*archive.parents(missing, gate.ROOT), Entry("/".join([*missing, "work"]), prepared.owner, mode)]
    archive.put(api, prepared.container, folder, entries)


def _create_named(api: docker.APIClient, body: Mapping[str, Any], name: str, installation: str) -> str:
    """Names are for people; where another installation has the same one, ours tells them apart."""
    try:
        return _create(api, body, name)
    except docker.errors.APIError as error:
        if error.status_code != ending.CONFLICT:
            raise
        return _create(api, body, f"{name}-{installation}")


def _create(api: docker.APIClient, body: Mapping[str, Any], name: str) -> str:
    made = api.create_container_from_config(body, name)  # type: ignore[no-untyped-call]
    return str(made["Id"])


def _same(facts: Mapping[str, Any], argv: Sequence[str], folder: str) -> dict[str, Any]:
    """The request that makes a container like the one inspected."""
    config, mode = dict(facts["Config"]), facts["HostConfig"]["NetworkMode"]
    if config["Hostname"] == facts["Id"][:12]:
        del config["Hostname"]
    return {
        **config,
        "Entrypoint": list(argv),
        "Cmd": [],
        "WorkingDir": folder,
        "HostConfig": facts["HostConfig"],
        "NetworkingConfig": None if mode in options.OWN_NETWORK_MODES else {"EndpointsConfig": {mode: {}}},
    }


def _owner(api: docker.APIClient, container: str, user: str) -> Owner:
    if user in ("", "0", "root", "0:0"):
        return Owner()
    passwd, group = (
        (archive.read(api, container, f"/etc/{name}") or b"").decode("utf-8", "replace") for name in ("passwd", "group")
    )
    return archive.resolve_owner(user, passwd, group)
