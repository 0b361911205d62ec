"""Rules of single values, attached to the fields of `core.definition`: how text becomes a value, and how a JSON Schema
says the same. `core.reading` applies them; one kind a rule, so that a key's rule is written once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from orchestrator.core import path_rules, units
from orchestrator.core.suggest import closest
from orchestrator.core.units import Wrong, shown

JsonSchema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """`parse` takes a scalar's own text and raises `Wrong`. `schema` is what editors check."""

    name: str
    parse: Callable[[str], Any]
    schema: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __get_pydantic_json_schema__(self, _core: Any, _handler: Any) -> JsonSchema:
        return dict(self.schema)


@dataclass(frozen=True, slots=True)
class Also:
    """Other names that the key is accepted under."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


@dataclass(frozen=True, slots=True)
class OneOrMany:
    """A list whose single item may stand alone."""

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> JsonSchema:
        many = handler(core)
        return {"anyOf": [many["items"], many]}


@dataclass(frozen=True, slots=True)
class Keyed:
    """A map whose key decides the rule of its value. Keys that begin with `x-` are ignored."""

    kind: Callable[[str], Kind]
    schema: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __get_pydantic_json_schema__(self, _core: Any, _handler: Any) -> JsonSchema:
        return dict(self.schema)


@dataclass(frozen=True, slots=True)
class Shape:
    """A map that is checked like `part` and stays a plain map of what was given."""

    part: type[Any]

    def __get_pydantic_json_schema__(self, _core: Any, handler: Any) -> JsonSchema:
        schema: JsonSchema = handler(self.part.__pydantic_core_schema__)
        return schema


@dataclass(frozen=True, slots=True)
class EmptyIsNull:
    """`{}` means the same as null."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A list with at least one item; `right` says what to do instead of an empty one."""

    right: str = ""

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> JsonSchema:
        schema: JsonSchema = handler(core)
        for inner in schema.get("anyOf", [schema]):
            if inner.get("type") == "array":
                inner["minItems"] = 1
        return schema


def text(
    name: str,
    pattern: str = "",
    right: str = "",
    *,
    most: int = 4096,
    refuse: Callable[[str], str | None] | None = None,
) -> Kind:
    """Text that is not empty, matches `pattern` as a whole and is not refused (a message) by `refuse`."""
    compiled = re.compile(pattern, re.ASCII) if pattern else None

    def parse(value: str) -> str:
        if not value:
            raise Wrong("is empty", right)
        if len(value) > most:
            raise Wrong(f"has {len(value)} characters", f"at most {most}")
        if compiled and not compiled.fullmatch(value):
            raise Wrong(f"{shown(value)} is not {name}", right)
        if refuse and (message := refuse(value)):
            raise Wrong(message, right)
        return value

    takes_numbers = not compiled or compiled.fullmatch("1")
    types = ["string", "number"] if takes_numbers else "string"
    schema: JsonSchema = {"type": types, "minLength": 1, "maxLength": most}
    return Kind(name, parse, schema | ({"pattern": f"^(?:{pattern})$"} if pattern else {}))


def count(name: str, least: int, most: int) -> Kind:
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return Kind(name, partial(units.parse_count, least=least, most=most), schema)


def seconds(least: float = 0.0, *, above: bool = False) -> Kind:
    bound = "exclusiveMinimum" if above else "minimum"
    schema = {"type": "number", bound: least, "maximum": units.LONGEST}
    return Kind("a number of seconds", partial(units.parse_seconds, least=least, above=above), schema)


def _climbs(path: str) -> str | None:
    return f"{shown(path)} climbs out with `..`" if ".." in path.split("/") else None


def _not_a_name(name: str) -> str | None:
    if not name.isprintable():
        return f"{shown(name)} contains characters that cannot be printed"
    if "/" in name:
        return f"{shown(name)} contains a `/`"
    return f"{shown(name)} is blank" if not name.strip() else None


def _source(source: str) -> str | None:
    if source in (".", "..") or ("/" in source and not source.startswith("/")):
        return f"{shown(source)} is neither a folder's name nor an absolute path"
    return _climbs(source)


def _environ_name(name: str) -> str | None:
    return f"{shown(name)} contains `=`, a blank or a control character" if re.search(r"[=\s\x00-\x1f]", name) else None


def _label(name: str) -> str | None:
    if name.startswith("orchestrator."):
        return f"{shown(name)} belongs to the orchestrator"
    return None if name.isprintable() else f"{shown(name)} contains characters that cannot be printed"


def _status_range(value: str) -> tuple[int, int]:
    right = "a status such as 200, a range such as 200-299, or a list of them"
    match = re.fullmatch(r"\s*([0-9]{3})\s*(?:-\s*([0-9]{3})\s*)?", value)
    if not match:
        raise Wrong(f"{shown(value)} is not an HTTP status code", right)
    low, high = int(match[1]), int(match[2] or match[1])
    if not 100 <= low <= high <= 599:
        raise Wrong(f"{shown(value)} is out of range", "from 100 to 599, the lower one first")
    return low, high


def choice(*values: str) -> Kind:
    """One of `values`; case and `_` for `-` do not matter."""
    known = {v.lower().replace("_", "-"): v for v in values}

    def parse(value: str) -> str:
        try:
            return known[value.strip().lower().replace("_", "-")]
        except KeyError:
            near = closest(value, values) or next((v for v in values if value.lower().startswith(v)), None)
            hint = f"did you mean `{near}`?" if near else " or ".join(f"`{v}`" for v in values)
            raise Wrong(f"{shown(value)} is not known", hint) from None

    return Kind(
        " or ".join(values), parse, {"type": "string", "enum": [*values, *(k for k in known if k not in values)]}
    )


_SIZE_SCHEMA: JsonSchema = {
    "type": ["string", "integer"],
    "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(?:[kKmMgGtTpP](?:[iI]?[bB]?)|[bB])?\s*$",
    "examples": ["512m", "4g"],
}
_WHOLE: JsonSchema = {"type": "integer", "minimum": 0}
_AMOUNT: JsonSchema = {"type": ["number", "string"], "minimum": 0}

SWITCH = Kind(
    "true or false",
    units.parse_switch,
    {"anyOf": [{"type": "boolean"}, {"enum": ["yes", "no", "on", "off", "Yes", "No", "On", "Off"]}]},
)
PLAIN = Kind("text", str, {"type": ["string", "number", "boolean"]})
LINE = Kind("text", str, {"type": ["string", "number", "boolean", "null"]})
MODE = Kind(
    "a file mode",
    units.parse_mode,
    {"type": ["integer", "string"], "pattern": "^(0o?)?[0-7]{1,4}$", "minimum": 0, "examples": [644, "0755"]},
)
VERSION = Kind(
    "a version",
    lambda value: int(value) if re.fullmatch("0|[1-9][0-9]{0,17}", value) else value,
    {"type": ["string", "number"]},
)

MODEL_NAME = text("a model's name", right="1 to 128 printable characters without `/`", most=128, refuse=_not_a_name)
SERVICE_NAME = text(
    "a service name",
    r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?",
    "1 to 63 letters, digits, `.`, `_` and `-`, with a letter or digit at both ends",
    most=63,
)
ABSOLUTE = text("an absolute path", "/.*", "an absolute path such as /models", refuse=_climbs)
FILE_PATH = text(
    "a file's path", right="a file inside the routing, such as config/server.json", refuse=path_rules.path_fault
)
FOLDER_PATH = text(
    "a folder's path",
    right="a folder inside the routing, such as cache",
    refuse=partial(path_rules.path_fault, folder=True),
)
URL_PATH = text(
    "a path of the server", r"/[\x21-\x7e]*", "begins with `/`, such as /health; other characters %-encoded", most=2048
)
PORT = count("a port", 1, 65535)
RETRIES = count("a number of retries", 0, 1_000_000)
REF = text("an identifier", r"[A-Za-z_][A-Za-z0-9_]*", "letters, digits and `_`, not beginning with a digit", most=64)
STATUS_RANGE = Kind(
    "an HTTP status code",
    _status_range,
    {
        "anyOf": [
            {"type": "integer", "minimum": 100, "maximum": 599},
            {"type": "string", "pattern": "^[1-5][0-9]{2}( *- *[1-5][0-9]{2})?$"},
        ]
    },
)
PERCENT = count("a percentage", 1, 99)
REQUESTS = count("a number of requests", 0, 1_000_000)
SHARE = Kind(
    "a count or a percentage",
    units.parse_share,
    {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": 10_000},
            {"type": "string", "pattern": "^(100|[0-9]{1,2})%$"},
        ]
    },
)
RATE = Kind(
    "a share", partial(units.parse_bounded, least=0.0, most=1.0), {"type": "number", "minimum": 0, "maximum": 1}
)
FACTOR = Kind(
    "a factor", partial(units.parse_bounded, least=1.0, most=1000.0), {"type": "number", "minimum": 1, "maximum": 1000}
)
MOST_ROUTINGS = 10_000
"""Of one service."""
ROUTINGS = count("a number of routings", 0, MOST_ROUTINGS)
MEMBERS = count("a number of nodes", 1, 1_000)
IMAGE = text(
    "a container image", r"[A-Za-z0-9][A-Za-z0-9._:/@-]*", "such as python:3.12 or registry.example/team/server:1"
)
ENVIRON_NAME = text("a variable's name", right="letters, digits and `_`", most=256, refuse=_environ_name)
SECRET = text("a secret's name", r"[A-Za-z0-9_][A-Za-z0-9._-]*", "the name of a file in the secrets folder", most=128)
LABEL = text("a label", right="such as team or example.org/team", most=256, refuse=_label)
GROUP = text("a resource group", r"[A-Za-z0-9][A-Za-z0-9._-]*", "a group that config.toml declares", most=64)
SOURCE = text("a folder", right="the name of a folder under data_dirs, or an absolute path", refuse=_source)
USER = text(
    "a user", r"[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?", "such as 1000, 1000:1000 or www-data"
)
NETWORK = text("a network", r"[A-Za-z0-9][A-Za-z0-9_.-]*", "a network's name", most=128)
HOST = text(
    "a host name",
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*",
    "letters, digits, `-` and `.`, such as llm.example.org",
)
DEVICE = text("a device", r"[^\s:]+(:[^\s:]+){0,2}", "such as /dev/fuse or /dev/fuse:/dev/fuse:rw")
CAPABILITY = text("a capability", r"(CAP_)?[A-Z][A-Z_]*", "in capitals, such as SYS_PTRACE", most=64)
SLOT_NAME = text("a slot's name", r"[A-Za-z][A-Za-z0-9._-]*", "such as cpu, mem, shm, cuda.device", most=64)

_SLOTS: Mapping[str, Kind] = {
    "cpu": Kind("cores", units.parse_cpu, {"type": "number", "exclusiveMinimum": 0, "examples": [1, 0.5]}),
    "mem": Kind("a size", units.parse_memory, _SIZE_SCHEMA),
    "shm": Kind("a size", units.parse_size, _SIZE_SCHEMA),
    "cuda.device": Kind("a number of devices", partial(units.parse_count, least=0, most=1024), _WHOLE),
}
_OTHER_SLOT = Kind("an amount", units.parse_amount, _AMOUNT)


def slot(name: str) -> Kind:
    """The rule of a slot's amount; the name itself is checked, its declaration is not."""
    SLOT_NAME.parse(name)
    return _SLOTS.get(name, _OTHER_SLOT)


RESOURCES = Keyed(
    slot,
    {
        "type": "object",
        "properties": {name: dict(kind.schema) for name, kind in _SLOTS.items()} | {"cuda.shares": _AMOUNT},
        "patternProperties": {"^x-": {}},
        "additionalProperties": _AMOUNT,
    },
)
