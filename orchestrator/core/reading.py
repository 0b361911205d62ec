"""Nodes to a part of a definition, guided by the annotations of `core.definition`: the key gives a value its type.

Readers are made once for each annotation. A reader returns the value, or `BAD` after it has reported why not, so that
all problems of a file are found in one pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from orchestrator.core.definition import Definition, Part
from orchestrator.core.kinds import Also, EmptyIsNull, Filled, Keyed, Kind, OneOrMany, Shape
from orchestrator.core.nodes import Entries, Node, Scalar
from orchestrator.core.report import Report, join
from orchestrator.core.suggest import closest, did_you_mean, unknown_key
from orchestrator.core.units import shown
from orchestrator.core.validation import CHECKS
from orchestrator.core.values import (
    BAD,
    Reader,
    empty_is_null,
    expected,
    filled,
    free,
    list_of,
    map_of,
    one_or_many,
    or_null,
    scalar,
)


@dataclass(frozen=True, slots=True)
class Fields:
    """How the keys of one part are read. `names`: every accepted name to its field."""

    names: Mapping[str, str]
    readers: Mapping[str, Reader]
    required: Mapping[str, str]
    """Field to its description."""
    nullable: frozenset[str]
    keeps_others: bool


def read(part: type[Part], node: Node, path: str, report: Report) -> Any:
    """An instance of `part`, or BAD with its problems in `report`. `path` is the node's own."""
    return _reader(part)(node, path, report)


# --- by annotation --------------------------------------------------------------------------------------------------


@cache
def _reader(annotation: Any) -> Reader:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:])
    if origin in (Union, UnionType):
        return _union(arguments)
    if origin is tuple:
        return list_of(_reader(arguments[0]))
    if origin is not None and issubclass(origin, Mapping):
        return _map(arguments[0], _reader(arguments[1]))
    if annotation is Any:
        return free
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return lambda node, path, report: _part(annotation, node, path, report)
    raise TypeError(f"cannot read {annotation!r}: give it a kind")


def _annotated(base: Any, metadata: tuple[Any, ...]) -> Reader:
    marks = {type(m): m for m in metadata}
    if kind := marks.get(Kind):
        return scalar(kind)
    if keyed := marks.get(Keyed):
        return _keyed(keyed)
    if shape := marks.get(Shape):
        return lambda node, path, report: _shaped(shape.part, node, path, report)
    reader = _reader(base)
    if OneOrMany in marks:
        reader = one_or_many(reader)
    if mark := marks.get(Filled):
        reader = filled(reader, mark.right)
    return empty_is_null(reader) if EmptyIsNull in marks else reader


def _union(members: tuple[Any, ...]) -> Reader:
    others = [m for m in members if m is not NoneType]
    if len(others) > 1 and all(isinstance(m, type) and issubclass(m, Part) for m in others):
        return _tagged({get_args(m.model_fields["action"].annotation)[0]: m for m in others})
    readers = [_reader(m) for m in others]
    if len(readers) == 1:
        return readers[0] if len(members) == 1 else or_null(readers[0])
    either = _list_or_text(*readers)
    return or_null(either) if NoneType in members else either


def _list_or_text(as_list: Reader, as_text: Reader) -> Reader:
    return lambda node, path, report: (as_text if isinstance(node, Scalar) else as_list)(node, path, report)


def _map(key_type: Any, value: Reader) -> Reader:
    key_kind = next((m for m in get_args(key_type)[1:] if isinstance(m, Kind)), None)

    def reader_of(key: str) -> Reader:
        if key_kind:
            key_kind.parse(key)
        return value

    return map_of(reader_of)


def _keyed(keyed: Keyed) -> Reader:
    return map_of(lambda key: None if key.startswith("x-") else scalar(keyed.kind(key)))


# --- parts ----------------------------------------------------------------------------------------------------------


@cache
def fields(part: type[Part]) -> Fields:
    """How `part` is read; made once."""
    hints = {
        name: hint for name, hint in get_type_hints(part, include_extras=True).items() if name in part.model_fields
    }
    names = {name: name for name in hints}
    readers: dict[str, Reader] = {}
    for name, hint in hints.items():
        for mark in get_args(hint)[1:] if get_origin(hint) is Annotated else ():
            if isinstance(mark, Also):
                names.update(dict.fromkeys(mark.names, name))
        readers[name] = _constant if get_origin(hint) is Literal else _reader(hint)
    infos = part.model_fields
    return Fields(
        names=names,
        readers=readers,
        required={name: (info.description or "").rstrip(".") for name, info in infos.items() if info.is_required()},
        nullable=frozenset(name for name, hint in hints.items() if _takes_null(hint)),
        keeps_others=part.model_config.get("extra") == "allow",
    )


def _constant(node: Node, _path: str, _report: Report) -> Any:
    return node.text if isinstance(node, Scalar) else BAD


def _takes_null(hint: Any) -> bool:
    base = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return NoneType in get_args(base)


def _tagged(parts: Mapping[str, type[Part]]) -> Reader:
    """One of several parts, told apart by `action`."""

    def read_tagged(node: Node, path: str, report: Report) -> Any:
        if not isinstance(node, Entries):
            return expected("a map with `action`", node, path, report)
        known = ", ".join(parts)
        if (action := node.values.get("action")) is None:
            report.error(node, join(path, "action"), "is missing", f"one of {known}")
            return BAD
        name = action.text if isinstance(action, Scalar) else ""
        if (part := parts.get(name)) is None:
            near = closest(name, parts)
            hint = f"did you mean `{near}`?" if near else f"one of {known}"
            report.error(action, join(path, "action"), f"{shown(name)} is not an action", hint)
            return BAD
        return _part(part, node, path, report)

    return read_tagged


def _part(part: type[Part], node: Node, path: str, report: Report) -> Any:
    values = _values(part, node, path, report)
    if values is BAD:
        return BAD
    if check := CHECKS.get(part):
        check({k: v for k, v in values.items() if v is not BAD}, path, report)
    if report.lenient:
        values = _stood_in(part, values, path)
    return BAD if BAD in values.values() else part(**values)


def _stood_in(part: type[Part], values: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Without what is wrong; names and whatever else must be there stand for themselves, where that decides nothing."""
    name = "-".join(re.findall(r"\w+", path))
    stand_ins: Mapping[str, Mapping[str, Any]] = {
        "Model": {"name": name},
        "Service": {"port": 1},
        "Deployment": {"service_name": name},
    }
    needed, given = fields(part).required, stand_ins.get(part.__name__, {})
    kept = {key: given.get(key, BAD) if value is BAD else value for key, value in values.items()}
    return {key: value for key, value in kept.items() if value is not BAD or key in needed}


def _shaped(part: type[Part], node: Node, path: str, report: Report) -> Any:
    values = _values(part, node, path, report)
    return BAD if values is BAD or BAD in values.values() else values


def _values(part: type[Part], node: Node, path: str, report: Report) -> dict[str, Any]:
    """Field to value (BAD: reported) of the keys that are given, with those that are missing reported."""
    if isinstance(node, Scalar) and node.is_null:
        node = Entries(line=node.line, column=node.column)
    if not isinstance(node, Entries):
        return expected("a map", node, path, report)  # type: ignore[no-any-return]
    plan, values, given = fields(part), dict[str, Any](), dict[str, str]()
    for key, child in node.values.items():
        if key.startswith("x-"):
            continue
        name = plan.names.get(key) or plan.names.get(key.replace("-", "_"))
        if name is None:
            if plan.keeps_others:
                values[key] = free(child, join(path, key), report)
            else:
                values[key] = _unknown(part, key, node, path, report)
        elif name in given:
            text = f"is given twice, as `{given[name]}` and as `{key}`"
            report.error(node.keys[key], join(path, name), text, f"keep `{name}`")
            values[name] = BAD
        else:
            given[name] = key
            _field(plan, name, child, join(path, name), report, values)
    _add_missing(plan, node, path, report, values)
    return values


def _field(plan: Fields, name: str, node: Node, path: str, report: Report, values: dict[str, Any]) -> None:
    report.positions[path] = (node.line, node.column)
    is_null = isinstance(node, Scalar) and node.is_null
    if is_null and name not in plan.nullable and name not in plan.required:
        return  # the same as left out
    if is_null and name in plan.required and name != "args":
        report.error(node, path, "is empty", plan.required[name])
        values[name] = BAD
        return
    values[name] = plan.readers[name](node, path, report)


def _add_missing(plan: Fields, node: Entries, path: str, report: Report, values: dict[str, Any]) -> None:
    for name, description in plan.required.items():
        if name in values:
            continue
        if name == "args":
            strays = any(key not in plan.readers for key in values)
            values[name] = (
                BAD
                if strays
                else plan.readers[name](Entries(line=node.line, column=node.column), join(path, name), report)
            )
        else:
            report.error(node, join(path, name), "is missing", description)
            values[name] = BAD


# --- unknown keys ---------------------------------------------------------------------------------------------------


def _unknown(part: type[Part], key: str, node: Entries, path: str, report: Report) -> Any:
    report.error(node.keys[key], join(path, key), f"unknown key {shown(key)}", _right_key(part, key))
    return BAD


def _right_key(part: type[Part], key: str) -> str:
    arguments = part.model_fields.get("args")
    if arguments is not None and isinstance(arguments.annotation, type):
        first, _, last = key.replace("-", "_").partition("/")
        if first in ("arg", "args", "argument", "arguments"):
            return f"move {shown(last)} under `args`" if last else "did you mean `args`? move it under `args`"
        if first in arguments.annotation.model_fields:
            return "move it under `args`"
    known = fields(part).names
    if not known:
        return ""
    return unknown_key(key, known, _homes()) if part.__name__ not in _ARGUMENTS else did_you_mean(key, known)


_ARGUMENTS = ("WriteFileArgs", "WriteTempfileArgs", "RunCommandArgs", "MkdirArgs", "LogArgs")


@cache
def _homes() -> Mapping[str, frozenset[str]]:
    """Key to the maps of a definition that know it, but for those of actions."""
    homes: dict[str, set[str]] = {}

    def visit(part: type[Part], name: str) -> None:
        for key, field_of in fields(part).names.items():
            homes.setdefault(key, set()).add(name)
            inner = _inner_part(part.model_fields[field_of].annotation)
            if inner is not None and key == field_of:
                visit(inner, key)

    visit(Definition, "the top level")
    return {key: frozenset(names) for key, names in homes.items()}


def _inner_part(annotation: Any) -> type[Part] | None:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation
    found = [p for p in map(_inner_part, get_args(annotation)) if p is not None]
    return found[0] if len(found) == 1 else None
