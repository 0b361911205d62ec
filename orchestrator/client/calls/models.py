"""Model folders, their files and definitions."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from urllib.parse import quote

import aiohttp

from orchestrator.client.connection import STREAM, Connection, flag, path_of, read
from orchestrator.core.model_views import (
    DefinitionRequest,
    DefinitionView,
    FileView,
    ModelRequest,
    ModelView,
    SchemaView,
    UploadView,
    ValidateRequest,
    ValidateView,
)

_UPLOAD = aiohttp.ClientTimeout(total=None, connect=5, sock_read=600)
"""Of one part: a slow line may take long, and so may a slow disk with the last one."""


class ModelCalls(Connection):
    async def models(self) -> tuple[ModelView, ...]:
        return await self._many("GET", "/v1/models", ModelView)

    async def model(self, name: str) -> ModelView:
        return await self._one("GET", path_of("/v1/models", name), ModelView)

    async def create_model(self, name: str) -> ModelView:
        return await self._one("POST", "/v1/models", ModelView, body=ModelRequest(name=name))

    async def remove_model(self, name: str, *, force: bool = False) -> None:
        """`force`: also while services run from it, which end with it."""
        await self.ask("DELETE", path_of("/v1/models", name), query={"force": flag(force)})

    async def model_files(self, name: str, below: str = "") -> tuple[FileView, ...]:
        """What lies directly in the folder `below` of a model folder."""
        return await self._many("GET", path_of("/v1/models", name) + "/files", FileView, query={"path": below or None})

    async def download(
        self, name: str, file: str, *, offset: int = 0, chunk: int = 1 << 20
    ) -> AsyncGenerator[bytes, None]:
        """A file's bytes from `offset`, at most `chunk` at a time. Raises `Unavailable` where they end too soon."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        async with self._answer("GET", _file(name, file), timeout=STREAM, headers=headers) as response:
            async for some in response.content.iter_chunked(chunk):
                yield some

    async def upload(self, name: str, file: str) -> UploadView:
        """How far the upload of a file is: where to go on."""
        return await self._one("GET", _file(name, file), UploadView, query={"part": "true"})

    async def upload_part(
        self, name: str, file: str, data: bytes, *, offset: int = 0, total: int | None = None, executable: bool = False
    ) -> UploadView:
        """At most `core.model_views.PART` bytes of a file of `total` bytes (None: these are all) from `offset` on. The
        last part may take long: the file is on the disk when it is answered."""
        query = {"offset": offset, "total": len(data) if total is None else total, "executable": flag(executable)}
        headers = {"Content-Type": "application/octet-stream"}
        path = _file(name, file)
        async with self._answer("PUT", path, query=query, timeout=_UPLOAD, headers=headers, data=data) as response:
            return read(UploadView, await response.read())

    async def remove_model_file(self, name: str, file: str) -> None:
        """A file, a folder with all that is in it, or an upload that was begun."""
        await self.ask("DELETE", _file(name, file))

    async def definition(self, name: str) -> DefinitionView:
        """`digest` null: it has none yet."""
        return await self._one("GET", path_of("/v1/models", name) + "/definition", DefinitionView)

    async def write_definition(self, name: str, request: DefinitionRequest) -> DefinitionView:
        """Raises `InvalidDefinition`, with nothing written, or `Conflict` (code `changed`)."""
        return await self._one("PUT", path_of("/v1/models", name) + "/definition", DefinitionView, body=request)

    async def validate(self, request: ValidateRequest) -> ValidateView:
        return await self._one("POST", "/v1/validate", ValidateView, body=request)

    async def schema(self) -> SchemaView:
        """The JSON Schema of definitions."""
        return await self._one("GET", "/v1/schema", SchemaView)


def _file(name: str, file: str) -> str:
    return f"{path_of('/v1/models', name)}/files/{quote(file, safe='')}"
