"""The files of the page, read once, each with its kind, its digest and its gzipped form.

The digest of them all is part of every address but that of the page itself. So a browser may keep what it has fetched
for good, and an upgraded daemon's page never runs with a module of the old one.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable

PAGE = "index.html"
HERE = "@assets@"
"""Stands in the page for the folder that its files are served from."""
PRELOADS = "<!-- preloads -->"
"""Stands in the page for what it will need at once: a browser would else learn of each module from the one before."""
LATER = ("vendor/uplot", "vendor/codemirror", "js/editor")
"""Fetched when a page asks for them."""

KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """`tag`: the quoted ETag of its content."""

    kind: str
    content: bytes
    gzipped: bytes
    tag: str

    @classmethod
    def of(cls, name: str, content: bytes) -> Asset:
        kind = KINDS[name.rpartition(".")[2]]
        digest = hashlib.sha256(content).hexdigest()[:20]
        return cls(kind, content, gzip.compress(content, 6, mtime=0), f'"{digest}"')


class Assets:
    """`version`: digest over all files."""

    def __init__(self, folder: Traversable | None = None) -> None:
        self._folder = resources.files(__package__) / "static" if folder is None else folder

    def page(self) -> Asset:
        return self._all[PAGE]

    def find(self, name: str) -> Asset | None:
        """By path within the folder, with `/`; None: there is no such file."""
        return self._all.get(name)

    @cached_property
    def version(self) -> str:
        whole = hashlib.sha256()
        for name, content in sorted(self._raw.items()):
            whole.update(f"{name}\0{len(content)}\0".encode() + content)
        return whole.hexdigest()[:16]

    @cached_property
    def _raw(self) -> Mapping[str, bytes]:
        return dict(_files(self._folder, ""))

    @cached_property
    def _all(self) -> Mapping[str, Asset]:
        found = {name: Asset.of(name, content) for name, content in self._raw.items() if name != PAGE}
        return found | {PAGE: Asset.of(PAGE, self._filled_page())}

    def _filled_page(self) -> bytes:
        modules = sorted(name for name in self._raw if name.endswith(".js") and not name.startswith(LATER))
        preloads = "\n".join(f'<link rel="modulepreload" href="{HERE}/{name}">' for name in modules)
        text = self._raw[PAGE].decode().replace(PRELOADS, preloads)
        return text.replace(HERE, f"/assets/{self.version}").encode()


def _files(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    """What has a kind that is served, at any depth."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in KINDS:
            yield prefix + entry.name, entry.read_bytes()
