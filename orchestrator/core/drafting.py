"""What a first definition says, made from what is known of an image, a container or by answers. Pure.

`cli.initializing` finds out and writes, `core.draft_text` words it; what the engine tells is taken as it comes: nothing
here relies on a key.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.core.units import written_size

USUAL_PORTS = (8000, 8080, 80, 3000, 5000, 9000)
"""Which of several exposed ports is the server's, the likeliest first."""
MOUNT = "/models"
SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|_KEY$", re.IGNORECASE)
_URL = re.compile(r"""https?://[^/\s:'"]+(?::(?P<port>\d+))?(?P<path>/[^\s'"|;&)]*)?""")


@dataclass(frozen=True, slots=True)
class Draft:
    """`command` None: the image's own, which is `own`; a text is run by a shell. `health` empty: the port alone.

    `source`: what it was made from, in words; `told`: more about the port; `secrets`: names of variables whose values
    are secrets; `notes`: what could not be taken over, each a line.
    """

    name: str
    source: str = ""
    image: str = ""
    command: tuple[str, ...] | str | None = None
    own: tuple[str, ...] = ()
    workdir: str = ""
    port: int = 8000
    told: str = ""
    health: str = ""
    check: Mapping[str, float] = field(default_factory=dict)
    title: str = ""
    description: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    resources: Mapping[str, str] = field(default_factory=dict)
    public: bool = False
    notes: tuple[str, ...] = ()


def of_image(draft: Draft, image: str, inspected: Mapping[str, Any]) -> Draft:
    """`inspected`: the engine's answer about the image. What `draft` has already stays."""
    config: Mapping[str, Any] = inspected.get("Config") or {}
    labels = config.get("Labels") or {}
    port, told = _port(config.get("ExposedPorts") or {})
    health, check, probed = _health(config.get("Healthcheck") or {})
    if probed and not port:
        port, told = probed, "the image's HEALTHCHECK asks it"
    return replace(
        draft,
        source=draft.source or f"the image {image}",
        image=image,
        own=(*_words(config.get("Entrypoint")), *_words(config.get("Cmd"))),
        workdir=_folder(config.get("WorkingDir")),
        port=port or draft.port,
        told=told or "the image does not say it",
        health=health,
        check=check,
        title=_line(labels.get("org.opencontainers.image.title")),
        description=_line(labels.get("org.opencontainers.image.description")),
    )


def of_container(draft: Draft, inspected: Mapping[str, Any], image: Mapping[str, Any]) -> Draft:
    """`inspected`, `image`: the engine's answers about a container and its image. Of its environment only what the
    image does not set is taken, and nothing that looks like a secret."""
    config, host = inspected.get("Config") or {}, inspected.get("HostConfig") or {}
    name = str(inspected.get("Name", "")).lstrip("/")
    found = of_image(replace(draft, source=f"the container {name}"), str(config.get("Image", "")), image)
    ours = (*_words(config.get("Entrypoint")), *_words(config.get("Cmd")))
    port, told = _published(host.get("PortBindings") or {})
    port, told = (port, told) if port else (found.port, found.told)
    environ = dict(_pairs(config.get("Env")))
    for key, value in _pairs((image.get("Config") or {}).get("Env")):
        if environ.get(key) == value:
            del environ[key]
    secrets = tuple(sorted(key for key in environ if SECRET.search(key)))
    return replace(
        found,
        command=None if ours == found.own or not ours else with_port(ours, port),
        port=port,
        told=told,
        workdir=_folder(config.get("WorkingDir")) or found.workdir,
        environ={key: value for key, value in environ.items() if key not in secrets and key != "PORT"},
        secrets=secrets,
        resources=dict(_resources(host)),
        notes=(*_user(config, image.get("Config") or {}), *_notes(inspected, host)),
    )


def with_port(argv: Sequence[str], port: int) -> tuple[str, ...]:
    """`{port}` in place of the number, where it is one for sure: after an option that has `port` in its name, in its
    value, or behind a host."""
    number, found = str(port), list(argv)
    for index, word in enumerate(argv):
        before = argv[index - 1] if index else ""
        option, sign, value = word.partition("=")
        if word == number and (re.fullmatch(r"-p|--?[\w-]*port", before)):
            found[index] = "{port}"
        elif sign and value == number and option.endswith("port"):
            found[index] = f"{option}={{port}}"
        elif re.fullmatch(rf"([\w.*-]+|\[[\w:]+\]):{number}", word):
            found[index] = word.removesuffix(number) + "{port}"
    return tuple(found)


def _port(exposed: Mapping[str, Any]) -> tuple[int, str]:
    ports = sorted({int(text) for text in (str(key).partition("/")[0] for key in exposed) if text.isdecimal()})
    if not ports:
        return 0, ""
    best = next((port for port in USUAL_PORTS if port in ports), ports[0])
    others = [str(port) for port in ports if port != best]
    return best, f"the image exposes {', '.join(others)}, too" if others else "the image exposes it"


def _published(bindings: Mapping[str, Any]) -> tuple[int, str]:
    port, told = _port({key: None for key, value in bindings.items() if value})
    return port, told.replace("the image exposes", "the container publishes")


def _health(told: Mapping[str, Any]) -> tuple[str, dict[str, float], int]:
    """Path, other keys of the check, and port, as far as a HEALTHCHECK fetches an address."""
    test = _words(told.get("Test"))
    found = _URL.search(" ".join(test)) if test and test[0] != "NONE" else None
    if found is None:
        return "", {}, 0
    keys = {"interval": "Interval", "max_wait_time": "Timeout", "initial_delay": "StartPeriod"}
    check = {ours: told[theirs] / 1e9 for ours, theirs in keys.items() if told.get(theirs)}
    if told.get("Retries"):
        check["max_retries"] = told["Retries"]
    path = (found["path"] or "/") if (found["path"] or "/").isascii() else "/"
    return path, check, int(found["port"] or 0) if int(found["port"] or 0) < 65536 else 0


def _resources(host: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if cpus := host.get("NanoCpus"):
        yield "cpu", f"{cpus / 1e9:g}"
    if memory := host.get("Memory"):
        yield "mem", written_size(memory)
    if (shared := host.get("ShmSize")) and shared != 64 << 20:
        yield "shm", written_size(shared)
    for request in host.get("DeviceRequests") or ():
        if any("gpu" in kinds for kinds in request.get("Capabilities") or ()):
            count = request.get("Count") or len(request.get("DeviceIDs") or ())
            yield "cuda.device", str(count if count > 0 else 1)


def _user(config: Mapping[str, Any], image: Mapping[str, Any]) -> Iterator[str]:
    user = _line(config.get("User"))
    if user and user != _line(image.get("User")):
        yield f"it runs as user {user}: see user, and [docker] allowed_users"


def _notes(inspected: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[str]:
    for mount in inspected.get("Mounts") or ():
        source = mount.get("Name") if mount.get("Type") == "volume" else mount.get("Source")
        target = _line(mount.get("Destination"))
        yield f"{_line(source)} is mounted at {target}: put what is needed of it into this folder, or see extra_mounts"
    if host.get("Privileged"):
        yield "it is privileged: no routing is"
    if str(host.get("NetworkMode", "")) == "host":
        yield 'it uses the host\'s network: see network, and [docker] allowed_networks = ["host"]'
    for kind, key in (("CapAdd", "capabilities"), ("Devices", "devices")):
        if host.get(kind):
            yield f"it has {key} of the host: see deployment.{key}"


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(str(word) for word in value) if isinstance(value, Sequence) else ()


def _pairs(value: Any) -> Iterator[tuple[str, str]]:
    for word in _words(value):
        key, sign, text = word.partition("=")
        if sign and key:
            yield key, text


def _folder(value: Any) -> str:
    text = str(value or "")
    return text if text.startswith("/") and text.strip("/") and text.isprintable() else ""


def _line(value: Any) -> str:
    return " ".join(str(value or "").split())


def command_of(answer: str) -> tuple[str, ...] | str:
    """What somebody typed as a start command: a list where it needs no shell."""
    if re.search(r"[|&;<>$`*?~()\n]", answer):
        return answer
    try:
        return tuple(shlex.split(answer))
    except ValueError:
        return answer
