"""Resource groups: what config.toml declares, laid over what the host has."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from orchestrator.core.state import Group
from orchestrator.scheduler.groups import resource_groups
from orchestrator.settings import GroupSettings

DEALT: dict[str, tuple[tuple[str, ...], dict[str, float], dict[str, tuple[str, ...]]]] = {
    "default has them all": (("g0", "g1"), {}, {"default": ("g0", "g1")}),
    "declared groups first": (("g0", "g1"), {"big": 1}, {"big": ("g0",), "default": ("g1",)}),
    "no more than there are": (("g0",), {"big": 4}, {"big": ("g0",), "default": ()}),
    "none known here: numbered": ((), {"big": 2, "default": 1}, {"big": ("0", "1"), "default": ("2",)}),
    "none at all": ((), {}, {"default": ()}),
}


@pytest.mark.parametrize(("known", "declared", "wanted"), DEALT.values(), ids=DEALT)
def test_each_device_belongs_to_one_group(
    known: tuple[str, ...], declared: Mapping[str, float], wanted: Mapping[str, tuple[str, ...]]
) -> None:
    settings = {name: GroupSettings(slots={"cuda.device": count}) for name, count in declared.items()}
    host = Group("default", {"cpu": 2.0, "cuda.device": float(len(known))}, known)
    groups = resource_groups({"default": GroupSettings(), **settings}, host)
    assert {name: group.devices for name, group in groups.items()} == wanted
    assert all(group.slots["cuda.device"] == len(group.devices) for group in groups.values())
    assert groups["default"].slots["cpu"] == 2.0
