"""The JSON Schema of definitions, made from `core.definition` so that editors say what `core.reading` says.

`schemas/` keeps it; `orchestrator schema` prints it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_origin, get_type_hints

from orchestrator.core.definition import Definition, Part
from orchestrator.core.kinds import Also, JsonSchema

DRAFT = "http://json-schema.org/draft-07/schema#"
_NULL: JsonSchema = {"type": "null"}


def definition_schema() -> JsonSchema:
    """Schema of `model-definition.yml`: every accepted name of each key, `x-` keys, enums, examples, descriptions."""
    schema = part_schema(Definition)
    return {"$schema": DRAFT, "title": "model-definition.yml", "description": "A model folder's definition."} | schema


def part_schema(part: type[Part]) -> JsonSchema:
    """Schema of one part with all it refers to under `$defs`."""
    schema = part.model_json_schema()
    _open_up(schema, {p.__name__: _aliases(p) for p in _parts(Part)})
    cleaned: JsonSchema = _without_titles(schema)
    return cleaned


def _parts(base: type[Part]) -> list[type[Part]]:
    return [p for child in base.__subclasses__() for p in (child, *_parts(child))]


def _aliases(part: type[Part]) -> Mapping[str, tuple[str, ...]]:
    """Field to its other names."""
    found: dict[str, tuple[str, ...]] = {}
    for name, hint in get_type_hints(part, include_extras=True).items():
        for mark in get_args(hint)[1:] if get_origin(hint) is not None else ():
            if isinstance(mark, Also):
                found[name] = mark.names
    return found


def _open_up(schema: Any, aliases: Mapping[str, Mapping[str, tuple[str, ...]]]) -> None:
    """Let the keys of every part in `schema` have their other names, and null where they may be left out."""
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        _open_up(inner, aliases)
    title = schema.get("title") if isinstance(schema, dict) else None
    if isinstance(title, str) and title in aliases and "properties" in schema:
        _open_part(schema, aliases[title])


def _open_part(schema: JsonSchema, aliases: Mapping[str, tuple[str, ...]]) -> None:
    properties: dict[str, JsonSchema] = schema["properties"]
    required: list[str] = schema.pop("required", [])
    either: list[JsonSchema] = []
    for name, value in list(properties.items()):
        properties[name] = value = value if name in required else _or_null(value)
        names = _spellings(name, aliases.get(name, ()))
        for other in names[1:]:
            properties[other] = {k: v for k, v in value.items() if k not in ("default", "examples")}
        if name in required:
            either.append({"anyOf": [{"required": [n]} for n in names]} if len(names) > 1 else {"required": [name]})
    schema["patternProperties"] = {"^x-": {}}
    if either:
        schema["allOf"] = either


def _spellings(name: str, others: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(n for s in (name, *others) for n in (s, s.replace("_", "-"))))


def _or_null(value: JsonSchema) -> JsonSchema:
    if value.get("default", ...) is None:
        value = {k: v for k, v in value.items() if k != "default"}
    if _NULL in value.get("anyOf", []) or value.get("type") == "null":
        return value
    about = {k: v for k, v in value.items() if k in ("description", "default", "examples")}
    rest = {k: v for k, v in value.items() if k not in about}
    choices = rest["anyOf"] if set(rest) == {"anyOf"} else [rest]
    return {"anyOf": [*choices, _NULL], **about}


def _without_titles(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_titles(v) for v in value]
    if not isinstance(value, dict):
        return value
    return {k: _without_titles(v) for k, v in value.items() if not (k == "title" and isinstance(v, str))}
