"""The API as OpenAPI 3.1, made from the one table of routes and the models that it names. Pure."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import core_schema

from orchestrator import __version__
from orchestrator.api.routes import JSON, OCTETS, TAR, WEBSOCKET, Route
from orchestrator.core.error_views import ErrorView

Json: TypeAlias = dict[str, Any]
Mode: TypeAlias = Literal["validation", "serialization"]
Refs: TypeAlias = Mapping[tuple[Any, Mode], Json]
"""Model and mode to its schema."""

PROBLEM = "application/problem+json"
_BYTES: Json = {"schema": {"type": "string", "format": "binary"}}
_REF = "#/components/schemas/{model}"

WORDS: Mapping[str, tuple[Json, str, str | int]] = {
    "ref": ({"type": "string"}, "A service's id, or its name in any case; for logs also a routing's id.", "echo"),
    "id": ({"type": "string"}, "The id that the list shows.", "r1"),
    "kid": ({"type": "string"}, "The key's id, as the list shows it.", "k1"),
    "name": ({"type": "string"}, "The model folder's name.", "echo"),
    "path": ({"type": "string"}, "A file's path in the model folder; its slashes may stand as they are.", "server.py"),
    "try": ({"type": "string"}, "The id of a try.", "t1"),
    "number": ({"type": "integer", "minimum": 1}, "The revision's number.", 3),
    "version": ({"type": "string"}, "Digest of all files of the page, as the page names it.", "0"),
    "asset": ({"type": "string"}, "Path of a file of the page; its slashes stand as they are.", "vendor/LICENSES.txt"),
}
"""What each name in a path stands for: its schema, in words, and an example."""

PROBLEMS: Mapping[int, tuple[str, str]] = {
    400: ("InvalidInput", "What was sent is wrong; `errors` names each field."),
    401: ("NotAuthorised", "No token was sent, or none that is valid here."),
    403: ("Forbidden", "The token does not give this access, or the Host is not one of ours."),
    404: ("NotFound", "There is none of that name."),
    408: ("Timeout", "The body was not complete within 30 s."),
    409: ("Conflict", "Something else stands in the way; the text says what."),
    413: ("TooLarge", "The body is larger than 1 MiB."),
    416: ("NoSuchRange", "The file has no such part."),
    422: ("InvalidDefinition", "The definition does not validate; `problems` has each in its place."),
    429: ("TooManyTries", "Too many wrong tokens came from this address; `Retry-After` says how long to wait."),
    502: ("RuntimeFailure", "The container engine refused; `code` says why."),
    503: ("Unavailable", "Something that the daemon depends on does not answer now; later it may."),
    507: ("DiskFull", "A disk is full; what was received is kept."),
}
_OTHER = ("Problem", "Any other error.")


def document(routes: Sequence[Route]) -> Json:
    """The whole as plain JSON: paths in the table's order, tags by the module that a route's handler lives in."""
    wanted: list[tuple[type[BaseModel], Mode]] = [(ErrorView, "serialization")]
    wanted += [(route.request, "validation") for route in routes if route.request]
    wanted += [(route.response, "serialization") for route in routes if route.response]
    refs, schemas = models_json_schema(list(dict.fromkeys(wanted)), ref_template=_REF, schema_generator=_Schema)
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Orchestrator", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": list(_tags(routes)),
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": _TOKEN}},
            "responses": {
                name: _problem(said, refs[ErrorView, "serialization"]) for name, said in (*PROBLEMS.values(), _OTHER)
            },
            "schemas": schemas["$defs"],
        },
    }


_ABOUT = (
    "Everything that the commands and the SDK do. Times are RFC 3339 in UTC, durations seconds, sizes bytes. Answers "
    "may get more keys; requests with a key that is not known are refused."
)
_TOKEN = (
    "A token of the API: the text of `admin.token` in the state directory, or one made for service `*` with scope "
    "`read` or `admin`, which expires and can be revoked."
)
_ACCESS = {"public": "Open to everybody.", "read": "Needs read access.", "admin": "Needs admin access."}


def _tags(routes: Sequence[Route]) -> Iterator[Json]:
    for module in dict.fromkeys(route.handler.__module__ for route in routes):
        said = (sys.modules[module].__doc__ or "").partition("\n")[0]
        yield {"name": module.rpartition(".")[2], "description": said}


def _operation(route: Route, refs: Refs) -> Json:
    tag = route.handler.__module__.rpartition(".")[2]
    said = " ".join(inspect.cleandoc(route.handler.__doc__ or "").split())
    found: Json = {
        "operationId": f"{tag}.{route.handler.__name__}",
        "tags": [tag],
        "summary": route.summary,
        "description": " ".join(part for part in (said, _ACCESS[route.access]) if part),
        "x-access": route.access,
        "security": [] if route.access == "public" else [{"token": []}],
        "parameters": [*_in_path(route.path), *_in_query(route)],
        "responses": {str(route.status): _success(route, refs), **_refusals(route)},
    }
    if route.request is not None:
        found["requestBody"] = {"required": True, "content": {JSON: {"schema": refs[route.request, "validation"]}}}
    if route.takes:
        found["requestBody"] = {"required": True, "content": {route.takes: _BYTES}}
    if OCTETS in route.media:
        found["responses"]["206"] = {"description": "A part of it, as `Range` asked for.", "content": {OCTETS: _BYTES}}
    return found


def _in_path(path: str) -> Iterator[Json]:
    for name in re.findall(r"\{(\w+)", path):
        schema, said, example = WORDS[name]
        yield _parameter("path", name, True, schema, said) | {"example": example}


def _in_query(route: Route) -> Iterator[Json]:
    """A parameter that may be left out is not null: it is not there."""
    if route.query is None:
        return
    schema = route.query.model_json_schema(ref_template=_REF, schema_generator=_Schema)
    for name, one in schema["properties"].items():
        said = one.pop("description", "")
        kinds = [kind for kind in one.pop("anyOf", []) if kind != {"type": "null"}]
        merged = {**one, **(kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {})}
        if merged.get("default", ...) is None:
            del merged["default"]
        yield _parameter("query", name, name in schema.get("required", []), merged, said)


def _parameter(where: str, name: str, required: bool, schema: Json, said: str) -> Json:
    return {"name": name, "in": where, "required": required, "schema": schema, "description": said}


def _success(route: Route, refs: Refs) -> Json:
    answer: Json = {"description": "Done." if route.status == 204 else route.summary + "."}
    if route.status != 204 and WEBSOCKET not in route.media:
        answer["content"] = {media: _content(media, route, refs) for media in route.media}
    return answer


def _content(media: str, route: Route, refs: Refs) -> Json:
    """OpenAPI 3.1 has no schema for a stream: what each of its items is, `x-item-schema` says."""
    if media in (OCTETS, TAR):
        return _BYTES
    if route.response is None:
        return {"schema": {"type": "string"}}
    one = refs[route.response, "serialization"]
    if media != JSON:
        return {"x-item-schema": one}
    return {"schema": {"type": "array", "items": one} if route.many else one}


def _refusals(route: Route) -> Json:
    found = set(route.refuses) | {403, 503}
    found |= {401, 429} if route.access != "public" else set()
    found |= {400, 408, 413} if route.request else {400} if route.query else set()
    found |= {404} if "{" in route.path else set()
    named = {str(status): PROBLEMS[status][0] for status in sorted(found)} | {"default": _OTHER[0]}
    return {status: {"$ref": f"#/components/responses/{name}"} for status, name in named.items()}


def _problem(said: str, ref: Json) -> Json:
    return {"description": said, "content": {PROBLEM: {"schema": ref}}}


class _Schema(GenerateJsonSchema):
    """Without the titles that only repeat names, and with what the source says below each field."""

    def field_title_should_be_set(self, _: Any) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> Json:
        found = super().model_schema(schema)
        found.pop("title", None)
        for kind in reversed(schema["cls"].__mro__):
            for name, said in _said(kind.__module__).get(kind.__name__, {}).items():
                if name in found.get("properties", {}):
                    found["properties"][name].setdefault("description", said)
        return found


@cache
def _said(module: str) -> Mapping[str, Mapping[str, str]]:
    """Class to field to the text below it in the source of a module of ours."""
    if not module.startswith("orchestrator."):
        return {}
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {kind.name: dict(_texts(kind)) for kind in tree.body if isinstance(kind, ast.ClassDef)}


def _texts(kind: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, text in zip(kind.body, kind.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                yield name, " ".join(said.split())
