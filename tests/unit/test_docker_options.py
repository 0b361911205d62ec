"""What the engine is asked for where no machine at hand can show it: accelerators, host network, granted devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import RuntimeFailure
from orchestrator.core.ports import Unit
from orchestrator.core.spec import ResolvedMount, RoutingSpec
from orchestrator.core.state import Reservation
from orchestrator.runtimes.docker import archive
from orchestrator.runtimes.docker.archive import Owner
from orchestrator.runtimes.docker.errors import explained
from orchestrator.runtimes.docker.logs import parse
from orchestrator.runtimes.docker.network import reached_by_ip
from orchestrator.runtimes.docker.options import Place, create_options, extra_network
from orchestrator.runtimes.docker.preparing import refuse_links

PLACE = Place("i1", "orchestrator-i1", "1.41")


def asked(place: Place = PLACE, reserved: tuple[str, ...] = (), **spec: Any) -> dict[str, Any]:
    parts = {"model_folder": "/m", "model_path": "/models", "model_mount": "/models", "port": 8000}
    routing = RoutingSpec(model_name="m", image="i", **parts | spec)
    unit = Unit("r1", "svc", routing, reservation=Reservation(devices=reserved))
    return create_options(unit, "i", ("/bin/sh",), place)


def test_accelerators_are_those_that_were_reserved() -> None:
    request = asked(reserved=("GPU-1", "GPU-3"))["HostConfig"]["DeviceRequests"][0]
    assert request["DeviceIDs"] == ["GPU-1", "GPU-3"]
    assert request["Count"] == 0
    assert request["Capabilities"] == [["gpu"]]
    assert not asked(resources={"cuda.device": 2.0})["HostConfig"].get("DeviceRequests")


def test_a_folder_that_has_become_a_link_is_not_mounted(tmp_path: Path) -> None:
    """The engine would follow it."""
    link, folder = tmp_path / "link", tmp_path / "folder"
    link.symlink_to("/")
    folder.mkdir()
    routing = RoutingSpec(model_name="m", model_folder=str(folder), model_path="/m", model_mount="/m", port=1)
    refuse_links(routing)
    for wrong in ({"model_folder": str(link)}, {"mounts": (ResolvedMount(source=str(link), target="/d"),)}):
        with pytest.raises(RuntimeFailure, match="it has become a link, to /") as caught:
            refuse_links(routing.model_copy(update=wrong))
        assert caught.value.code == "mount_refused"


def test_what_was_granted_is_added() -> None:
    host = asked(capabilities=("CAP_NET_RAW", "sys_nice"), devices=("/dev/a:/dev/b:r",))["HostConfig"]
    assert host["CapAdd"] == ["NET_RAW", "SYS_NICE"]
    assert "NET_RAW" not in host["CapDrop"]
    device = {"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "r"}
    assert host["Devices"] == [device]


def test_networks() -> None:
    assert asked()["NetworkingConfig"] == {"EndpointsConfig": {"orchestrator-i1": {}}}
    host = asked(network="host", hostname="x")
    assert (host["HostConfig"]["NetworkMode"], host["NetworkingConfig"], host["Hostname"]) == ("host", None, None)
    spec = RoutingSpec(model_name="m", model_folder="/m", model_path="/x", model_mount="/x", port=1, network="other")
    assert extra_network(spec, PLACE) == "other"


def test_ports_are_published_only_on_the_loopback_and_only_where_asked() -> None:
    assert not asked()["HostConfig"].get("PortBindings")
    published = asked(Place("i1", "n", "1.41", publish=True))["HostConfig"]["PortBindings"]
    assert published["8000/tcp"][0]["HostIp"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("base_url", "info", "reached"),
    [
        ("http+docker://localhost", {}, True),
        ("http+docker://localhost", {"SecurityOptions": ["name=rootless"]}, False),
        ("http+docker://localhost", {"OperatingSystem": "Docker Desktop"}, False),
        ("http+docker://ssh", {}, False),
        ("http://127.0.0.1:2375", {}, False),
    ],
)
def test_where_the_bridge_is_reached(base_url: str, info: dict[str, Any], reached: bool) -> None:
    assert reached_by_ip(base_url, info) is reached


PASSWD = "root:x:0:0::/:\nmodel:x:1000:1001::/:\n1234:x:77:78::/:\nbroken\n"
GROUP = "root:x:0:\nvideo:x:44:\n"


@pytest.mark.parametrize(
    ("user", "owner"),
    [
        ("", Owner(0, 0)),
        ("model", Owner(1000, 1001)),
        ("1000", Owner(1000, 1001)),
        ("1234", Owner(77, 78)),  # a name of digits comes before a number, as for the engine
        ("4321", Owner(4321, 0)),
        ("model:video", Owner(1000, 44)),
        ("5:6", Owner(5, 6)),
    ],
)
def test_users_are_read_as_the_engine_reads_them(user: str, owner: Owner) -> None:
    assert archive.resolve_owner(user, PASSWD, GROUP) == owner


@pytest.mark.parametrize("user", ["nobody", "model:nothing"])
def test_a_user_that_the_image_has_not(user: str) -> None:
    with pytest.raises(RuntimeFailure) as caught:
        archive.resolve_owner(user, PASSWD, GROUP)
    assert caught.value.code == "no_user"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("pull access denied for x, repository does not exist or may require 'docker login'", "image_denied"),
        ("manifest for x:1 not found: manifest unknown: manifest unknown", "image_missing"),
        ('exec: "nope": executable file not found in $PATH', "command_not_found"),
        ('exec: "/x": stat /x: no such file or directory', "command_not_found"),
        ('exec: "/etc/passwd": permission denied', "permission"),
        ("exec /bin/sh: exec format error", "exec_format"),
        ("write /var/lib/docker/tmp/x: no space left on device", "no_space"),
        ("Bind for 127.0.0.1:1 failed: port is already allocated", "port_taken"),
        ('could not select device driver "" with capabilities: [[gpu]]', "no_device"),
        ("could not find an available, non-overlapping IPv4 address pool among the defaults", "no_network"),
    ],
)
def test_the_engines_words_become_codes(text: str, code: str) -> None:
    failure = explained(text, "do it")
    assert failure is not None
    assert (failure.code, failure.message) == (code, f"cannot do it: {text}")
    assert failure.hint


def test_other_words_are_not_explained() -> None:
    assert explained("something else", "do it") is None


def test_a_log_line() -> None:
    line = parse(2, b"2026-01-02T03:04:05.5Z a \xff b\r\n")
    assert (line.time, line.stream, line.text) == (1767323045.5, "err", "a \ufffd b")
    assert parse(1, b"2026-01-02T03:04:05Z part of a line").text == "part of a line"
