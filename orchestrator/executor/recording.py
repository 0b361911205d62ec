"""What the pre-start actions of one routing write, kept for its revision's history. Used by `executor.launch`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from orchestrator.core.masking import mask
from orchestrator.core.ports import CommandResult, Sandbox

LONGEST = 64 * 1024
"""Bytes of one file that are kept."""
MOST = 1024 * 1024
"""Bytes of all of them together."""
_TEMPFILE = re.compile(r"[0-9a-f]{32}(?=\.py\b)")


class Recording:
    """A `Sandbox` that remembers the files that are written through it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._bodies: dict[str, bytes] = {}

    async def write(self, path: str, body: bytes, *, mode: int, append: bool) -> None:
        await self._sandbox.write(path, body, mode=mode, append=append)
        self._bodies[path] = self._bodies.get(path, b"") + body if append else body

    async def mkdir(self, path: str) -> None:
        await self._sandbox.mkdir(path)

    async def run(self, argv: Sequence[str], *, timeout: float) -> CommandResult:
        return await self._sandbox.run(argv, timeout=timeout)

    async def log(self, line: str) -> None:
        await self._sandbox.log(line)

    async def python(self) -> str:
        return await self._sandbox.python()

    def files(self, secrets: Collection[str]) -> Mapping[str, str]:
        """Path to text, without secrets, cut where it is too long. Names of temporary files, which differ from routing
        to routing, are numbered: two revisions can be compared."""
        names = dict[str, str]()
        for path in self._bodies:
            if found := _TEMPFILE.search(path):
                names[found[0]] = f"tempfile-{len(names) + 1}"

        def told(text: str) -> str:
            return mask(_TEMPFILE.sub(lambda match: names.get(match[0], match[0]), text), secrets)

        left, files = MOST, dict[str, str]()
        for path, body in self._bodies.items():
            files[told(path)], used = _cut(told(body.decode("utf-8", "replace")), min(left, LONGEST))
            left -= used
        return files


def _cut(text: str, limit: int) -> tuple[str, int]:
    """As much of it as `limit` bytes hold, and how many it takes."""
    whole = text.encode("utf-8", "replace")
    if len(whole) <= limit:
        return text, len(whole)
    kept = whole[:limit].decode("utf-8", "ignore")
    return f"{kept}\n… cut: {len(whole) - limit} more bytes\n", limit
