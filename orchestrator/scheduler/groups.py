"""Resource groups: what config.toml declares, laid over what the host has."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core.state import Group
from orchestrator.settings import GroupSettings

DEVICE = "cuda.device"


def resource_groups(declared: Mapping[str, GroupSettings], host: Group) -> dict[str, Group]:
    """Slots that `default` leaves out are the host's. Accelerators are dealt out: declared groups first, in their
    order, then `default` what is left, so that no device belongs to two groups. Without one known here (the engine may
    be on another machine), those declared are numbered; else no more count than there are."""
    devices = list(host.devices) or [str(number) for number in range(_declared(declared))]
    groups: dict[str, Group] = {}
    for name in sorted(declared, key=lambda n: n == "default"):
        slots = dict(declared[name].slots)
        if name == "default":
            slots = {**host.slots, DEVICE: float(len(devices)), **slots}
        count = min(int(slots.get(DEVICE, 0)), len(devices))
        slots |= {DEVICE: float(count)} if DEVICE in slots else {}
        groups[name] = Group(name, slots, tuple(devices[:count]))
        devices = devices[count:]
    return groups


def _declared(groups: Mapping[str, GroupSettings]) -> int:
    return int(sum(group.slots.get(DEVICE, 0) for group in groups.values()))
