"""What a definition may ask of the host: closed by default, opened in config.toml. Asked by `core.resolve`.

Whoever may write into a model folder must not thereby own the host. Every refusal names the key that opens it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something is not granted, and what would grant it."""

    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """Patterns (`*`, `?`, `[…]`) of what is granted; the names are those of `[docker] allowed_…`."""

    images: tuple[str, ...] = ("*",)
    devices: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    users: tuple[str, ...] = ()

    def image(self, image: str) -> Refusal | None:
        return _unless_listed("the image", image, self.images, "allowed_images")

    def user(self, user: str) -> Refusal | None:
        return _unless_listed("the user", user, self.users, "allowed_users")

    def network(self, network: str) -> Refusal | None:
        """`host` is the host's own network: no pattern opens it, only its name."""
        patterns = [p for p in self.networks if p == network] if network == "host" else self.networks
        return _unless_listed("the network", network, patterns, "allowed_networks")

    def device(self, device: str) -> Refusal | None:
        """`/dev/x`, `/dev/x:/dev/y:rw`: the host's side counts."""
        return _unless_listed("the device", device.partition(":")[0], self.devices, "allowed_devices")

    def capability(self, capability: str) -> Refusal | None:
        patterns = [p.removeprefix("CAP_") for p in self.capabilities]
        return _unless_listed("the capability", capability.removeprefix("CAP_"), patterns, "allowed_capabilities")


def _unless_listed(what: str, name: str, patterns: Iterable[str], key: str) -> Refusal | None:
    if any(fnmatchcase(name, pattern) for pattern in patterns):
        return None
    return Refusal(f"{what} {name} is not allowed here", f"opened by docker.{key} in config.toml")
