"""The data path: HAProxy as a process of its own that stays when the daemon goes, and a memory fake of it.

`publish(RouteTable)` takes the whole table. `admission` says what of it can be served, `render` writes it down,
`runtime` computes the commands that bring a running worker to it, `master` speaks to the process.
"""

from orchestrator.gateway.haproxy import HAProxyGateway
from orchestrator.gateway.memory import MemoryGateway
from orchestrator.gateway.starting import command, write_initial

__all__ = ["HAProxyGateway", "MemoryGateway", "command", "write_initial"]
