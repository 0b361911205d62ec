"""Makes a container that is ready for its actions: created behind the gate, its user known, /home/work there."""

from __future__ import annotations

from collections.abc import Sequence

import docker

from orchestrator.core.paths import HOME
from orchestrator.core.ports import Unit
from orchestrator.runtimes.docker import archive, gate, options
from orchestrator.runtimes.docker.archive import Entry, Owner
from orchestrator.runtimes.docker.options import Place
from orchestrator.runtimes.docker.prepared import Prepared


def create(api: docker.APIClient, unit: Unit, image: str, entrypoint: Sequence[str], folder: str, place: Place) -> str:
    """The new container's id."""
    body = options.create_options(unit, image, entrypoint, folder, place)
    made = api.create_container_from_config(body, options.container_name(unit))  # type: ignore[no-untyped-call]
    container = str(made["Id"])
    if network := options.extra_network(unit.spec, place):
        api.connect_container_to_network(container, network)
    return container


def prepare(api: docker.APIClient, unit: Unit, container: str) -> Prepared:
    """What the container's image says, read once."""
    facts = api.inspect_container(container)
    image = api.inspect_image(facts["Image"])["Config"] or {}  # type: ignore[no-untyped-call]
    environ = dict(pair.split("=", 1) for pair in facts["Config"]["Env"] or () if "=" in pair)
    prepared = Prepared(
        unit,
        container,
        shell=gate.has_shell(api, container),
        owner=_owner(api, container, facts["Config"]["User"] or ""),
        own=(*(image.get("Entrypoint") or ()), *(image.get("Cmd") or ())),
        own_folder=image.get("WorkingDir") or unit.spec.model_path,
        path=environ.get("PATH", ""),
    )
    make_home(api, container, prepared)
    return prepared


def make_home(api: docker.APIClient, container: str, prepared: Prepared) -> None:
    """/home/work, writable by the user; left alone where a mount provides it."""
    if prepared.mounted(HOME):
        return
    there = archive.stat(api, container, HOME)
    if there is not None and prepared.owner == gate.ROOT:
        return
    folder, missing = archive.nearest(api, container, "/home")
    mode = (there.mode & 0o777) | 0o700 if there is not None else 0o755
    entries = [*archive.parents(missing, gate.ROOT), Entry("/".join([*missing, "work"]), prepared.owner, mode)]
    archive.put(api, container, folder, entries)


def _owner(api: docker.APIClient, container: str, user: str) -> Owner:
    if user in ("", "0", "root", "0:0"):
        return Owner()
    passwd, group = (
        (archive.read(api, container, f"/etc/{name}") or b"").decode("utf-8", "replace") for name in ("passwd", "group")
    )
    return archive.resolve_owner(user, passwd, group)
