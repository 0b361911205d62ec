"""Resource groups: what config.toml declares, laid over what the host has."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core.state import Group
from orchestrator.settings import GroupSettings


def resource_groups(declared: Mapping[str, GroupSettings], host: Group) -> dict[str, Group]:
    """Slots that `default` leaves out are the host's. Accelerators are dealt out: declared groups first, in their
    order, then `default` what is left, so that no device belongs to two groups."""
    devices = list(host.devices)
    groups: dict[str, Group] = {}
    for name in sorted(declared, key=lambda n: n == "default"):
        slots = dict(declared[name].slots)
        if name == "default":
            slots = {**host.slots, "cuda.device": float(len(devices)), **slots}
        count = int(slots.get("cuda.device", 0))
        groups[name] = Group(name, slots, tuple(devices[:count]))
        devices = devices[count:]
    return groups
