"""Room for routings: slots per resource group, taken and given back while a plan is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.core.spec import RoutingSpec
from orchestrator.core.state import Group, Reservation, Routing

ROUNDING = 1e-9
NOT_SLOTS = frozenset({"shm"})
"""Resources that are settings of the container, not drawn from a group."""
OVER = "over quota"
"""First words of what a group could not hold if it were empty."""
FULL = "no capacity"
"""Of what it cannot hold beside what it has."""
ENDING = "no room yet"
"""Of what it can hold once routings that end are gone."""


class Ledger:
    """What is free in each group, given what `routings` hold."""

    def __init__(self, groups: Mapping[str, Group], routings: Iterable[Routing]) -> None:
        self._whole = {name: group.slots for name, group in groups.items()}
        self._free = {name: dict(group.slots) for name, group in groups.items()}
        self._devices = {name: list(group.devices) for name, group in groups.items()}
        self._ending: list[Reservation] = []
        for routing in routings:
            if routing.reservation is not None and holds(routing):
                self._take(routing.reservation)
                if routing.stopping_since is not None or routing.failure is not None:
                    self._ending.append(routing.reservation)

    def reserve(self, spec: RoutingSpec) -> Reservation | str:
        """Take what `spec` needs from its group; else, in words (`OVER`, `FULL`, `ENDING`), what is missing."""
        if spec.resource_group not in self._free:
            return f"{OVER}: there is no resource group {spec.resource_group!r}"
        free = self._free[spec.resource_group]
        needs = {slot: amount for slot, amount in spec.resources.items() if slot not in NOT_SLOTS and amount > 0}
        short = [slot for slot, amount in needs.items() if slot in free and amount > free[slot] + ROUNDING]
        if short:
            return self._missing(spec, {slot: needs[slot] for slot in short})
        count = int(needs.get("cuda.device", 0))
        reservation = Reservation(spec.resource_group, needs, tuple(self._devices[spec.resource_group][:count]))
        self._take(reservation)
        return reservation

    def _missing(self, spec: RoutingSpec, short: Mapping[str, float]) -> str:
        whole, free = self._whole[spec.resource_group], self._free[spec.resource_group]
        if over := [slot for slot, amount in short.items() if amount > whole[slot] + ROUNDING]:
            texts = [f"needs {amount_text(s, short[s])}, {amount_text(s, whole[s], bare=True)} in all" for s in over]
            return f"{OVER}: {'; '.join(texts)} (resource group {spec.resource_group!r})"
        texts = [
            f"needs {amount_text(s, n)}, {amount_text(s, max(0.0, free[s]), bare=True)} free" for s, n in short.items()
        ]
        comes = self._ending and self.fits_without(spec, self._ending)
        return f"{ENDING if comes else FULL}: {'; '.join(texts)}{'; what ends makes some' if comes else ''}"

    def fits_without(self, spec: RoutingSpec, held: Iterable[Reservation]) -> bool:
        """Whether there would be room for `spec` if these reservations were given back."""
        free = dict(self._free.get(spec.resource_group, {}))
        for reservation in held:
            if reservation.group == spec.resource_group:
                for slot, amount in reservation.slots.items():
                    free[slot] = free.get(slot, 0.0) + amount
        return all(spec.resources[s] <= free[s] + ROUNDING for s in spec.resources if s in free)

    def _take(self, reservation: Reservation) -> None:
        free = self._free.get(reservation.group)
        if free is None:
            return
        for slot, amount in reservation.slots.items():
            if slot in free:
                free[slot] -= amount
        taken = set(reservation.devices)
        self._devices[reservation.group] = [d for d in self._devices[reservation.group] if d not in taken]


def short_of(refused: str) -> str:
    """What is missing, of what `reserve` said."""
    return refused.partition(": ")[2]


def holds(routing: Routing) -> bool:
    """A failed routing gives its slots back once nothing of it is left on the runtime."""
    return routing.failure is None or routing.observed is not None


def amount_text(slot: str, amount: float, *, bare: bool = False) -> str:
    """`2 cuda.device`, `8 GiB mem`; `bare`: without the slot's name."""
    if slot == "mem":
        number = f"{round(amount / 2**30, 2):.10g} GiB" if amount >= 2**30 else f"{round(amount / 2**20):g} MiB"
    else:
        number = f"{amount:.10g}"
    return number if bare else f"{number} {slot}"
