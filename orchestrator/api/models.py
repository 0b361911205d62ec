"""Model folders: list, make and remove them; their files, up and down; their definitions, read, checked and written."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import quote

from aiohttp import ClientPayloadError, web
from aiohttp.abc import AbstractStreamWriter
from pydantic import BeforeValidator, Field
from pydantic_core import to_json

from orchestrator.api.control import Control
from orchestrator.api.routes import JSON, OCTETS, Route, answer, answer_many, body, parameters
from orchestrator.core.errors import InvalidInput, Unavailable
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
from orchestrator.core.views import Request

CHUNK = 256 << 10
"""Bytes that are written to the disk at a time."""
SILENCE = 30.0
"""Seconds without a byte after which a part has ended."""
LARGEST = 2**63 - 1


async def ls(_: web.Request, control: Control) -> web.Response:
    return answer_many(await control.models())


async def create(request: web.Request, control: Control) -> web.Response:
    return answer(await control.create_model((await body(request, ModelRequest)).name), status=201)


async def detail(request: web.Request, control: Control) -> web.Response:
    return answer(await control.model(request.match_info["name"]))


class RemoveQuery(Request):
    force: bool = False
    """Also while services run from it; they end with it."""


async def remove(request: web.Request, control: Control) -> web.Response:
    await control.remove_model(request.match_info["name"], force=parameters(request, RemoveQuery).force)
    return web.Response(status=204)


# --- files


class FilesQuery(Request):
    path: str = ""
    """Of a folder in the model folder; empty: the model folder itself."""


async def files(request: web.Request, control: Control) -> web.Response:
    return answer_many(await control.model_files(request.match_info["name"], parameters(request, FilesQuery).path))


class FileQuery(Request):
    part: Annotated[bool, BeforeValidator(lambda given: True if given == "" else given)] = False
    """Not the file, but how far its upload is."""


async def download(request: web.Request, control: Control) -> web.StreamResponse:
    """The file as an attachment, or with `Range` (and `If-Range`) a part of it; with `part` how far its upload is."""
    name, file = request.match_info["name"], request.match_info["path"]
    if parameters(request, FileQuery).part:
        return answer(await control.upload(name, file))
    with await control.open_model_file(name, file) as opened:
        size = os.fstat(opened.fileno()).st_size
        _refuse_range(request, file, size)
        plain = file.rpartition("/")[2]
        response = _Sent(f"/proc/self/fd/{opened.fileno()}", headers=_attached(plain))
        await response.prepare(request)
        if os.fstat(opened.fileno()).st_size < size and request.transport is not None:
            request.transport.abort()  # cut off meanwhile: the rest that was announced never comes
    return response


class _Sent(web.FileResponse):
    """aiohttp prepares whatever a handler returns, and by then the descriptor is closed, or another file's."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None if self.prepared else await super().prepare(request)


def _refuse_range(request: web.Request, file: str, size: int) -> None:
    try:
        start = request.http_range.start or 0
    except ValueError:
        raise InvalidInput(f"cannot read {file}: its Range is not understood", hint="Range: bytes=0-99") from None
    if start >= size and "Range" in request.headers and "If-Range" not in request.headers:
        raise InvalidInput(f"cannot read {file} from byte {start}: it has {size}", code="no_such_range")


def _attached(name: str) -> dict[str, str]:
    """Nothing in a model folder is shown by a browser as if it came from us."""
    return {
        "Content-Type": OCTETS,
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
        "Cache-Control": "private, no-cache",
    }


class UploadQuery(Request):
    total: int = Field(ge=0, le=LARGEST)
    """Bytes of the whole file."""
    offset: int = Field(0, ge=0, le=LARGEST)
    """Where this part begins: what was received so far; 0 begins anew."""
    executable: bool = False
    """Everybody may run the file."""


async def upload(request: web.Request, control: Control) -> web.Response:
    """One part of a file, 8 MiB at most, as raw bytes. Once the last byte is there the file is put in its place; before
    that nothing of it is visible. What came of a part that broke off is kept: go on where the answer to `part` says."""
    asked = parameters(request, UploadQuery)
    done = await control.upload_part(
        request.match_info["name"],
        request.match_info["path"],
        _chunks(request),
        offset=asked.offset,
        total=asked.total,
        executable=asked.executable,
    )
    return answer(done)


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    """The body as it comes, collected. Raises `Unavailable` where it stops coming; what came before was given."""
    held = bytearray()
    broken = ""
    while not broken:
        try:
            async with asyncio.timeout(SILENCE):
                some = await request.content.read(CHUNK - len(held))
        except TimeoutError:
            broken = f"nothing came for {SILENCE:g} s"
        except (ConnectionError, ClientPayloadError, web.HTTPException) as error:
            broken = str(error) or "the connection ended"
        else:
            held += some
            if some and len(held) < CHUNK:
                continue
            if not some:
                break
        if held:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)
    if broken:
        raise Unavailable(f"cannot go on with the upload: {broken}", hint="go on where it was", code="broken_off")


async def remove_file(request: web.Request, control: Control) -> web.Response:
    """A file, a folder with all that is in it, a link itself (not what it leads to), or an upload that was begun."""
    await control.remove_model_file(request.match_info["name"], request.match_info["path"])
    return web.Response(status=204)


# --- definitions


async def definition(request: web.Request, control: Control) -> web.Response:
    return answer(await control.definition(request.match_info["name"]))


async def write_definition(request: web.Request, control: Control) -> web.Response:
    """Written whole, and only where it validates: `problems` of the answer to one that does not has each in its place.
    `digest` is that of the text that was changed; where another is there by now, nothing is written (409, `changed`).
    """
    return answer(await control.write_definition(request.match_info["name"], await body(request, DefinitionRequest)))


async def validate(request: web.Request, control: Control) -> web.Response:
    """By the code that reads model folders; nothing is written or started."""
    return answer(await control.validate(await body(request, ValidateRequest)))


async def schema(_: web.Request, control: Control) -> web.Response:
    made: Any = await control.schema()
    return web.Response(body=to_json(made), content_type=JSON)


_ALL, _ONE = "/v1/models", "/v1/models/{name}"
_FILE, _TEXT = "/v1/models/{name}/files/{path}", "/v1/models/{name}/definition"
_LIST, _DROP = "List the files of a model folder", "Remove a file, a folder or an upload"
_GET, _PUT = "Download a file, or see how far its upload is", "Upload a part of a file"
_READ, _WRITE = "Read a definition", "Check a definition and put it in place"
_CHECK, _SCHEMA = "Check a definition's text", "The JSON Schema of definitions"
_NAME, _TAKEN, _DISK = (400, 409), (409,), (400, 409, 413, 507)

ROUTES = (
    Route("GET", _ALL, "read", ls, "List model folders", response=ModelView, many=True),
    Route("POST", _ALL, "admin", create, "Make a model folder", ModelRequest, ModelView, status=201, refuses=_TAKEN),
    Route("GET", _ONE, "read", detail, "Show one model folder", response=ModelView, refuses=_NAME),
    Route("DELETE", _ONE, "admin", remove, "Remove a model folder", status=204, query=RemoveQuery, refuses=_TAKEN),
    Route("GET", _ONE + "/files", "read", files, _LIST, None, FileView, True, query=FilesQuery, refuses=_TAKEN),
    Route(
        *("GET", _FILE, "admin", download, _GET),
        response=UploadView,
        query=FileQuery,
        media=(OCTETS, JSON),
        refuses=(409, 416),
    ),
    Route("PUT", _FILE, "admin", upload, _PUT, None, UploadView, query=UploadQuery, takes=OCTETS, refuses=_DISK),
    Route("DELETE", _FILE, "admin", remove_file, _DROP, status=204, refuses=_NAME),
    Route("GET", _TEXT, "read", definition, _READ, response=DefinitionView, refuses=_NAME),
    Route("PUT", _TEXT, "admin", write_definition, _WRITE, DefinitionRequest, DefinitionView, refuses=(409, 422, 507)),
    Route(
        "POST",
        "/v1/validate",
        "read",
        validate,
        _CHECK,
        ValidateRequest,
        ValidateView,
        refuses=(404, 409),
        changes=False,
    ),
    Route("GET", "/v1/schema", "read", schema, _SCHEMA, response=SchemaView),
)
