"""From config.toml and the environment to `Settings`: finds the file, and reports everything that is wrong at once."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from orchestrator.core.errors import InvalidInput
from orchestrator.core.loading import deployment_from_mapping
from orchestrator.core.problems import Problem
from orchestrator.settings.environment import PREFIX, did_you_mean, overrides
from orchestrator.settings.models import Origins, Settings

SYSTEM_FILE = Path("/etc/orchestrator/config.toml")
PATHS = (
    *(("state_dir",), ("secrets_dir",), ("models_dirs",), ("data_dirs",), ("gateway", "haproxy")),
    *((section, key) for section in ("api", "gateway") for key in ("tls_certificate", "tls_key")),
)


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings of the first file there is (`path`, ORCHESTRATOR_CONFIG, ./config.toml, /etc/orchestrator/config.toml;
    none, or /dev/null: the defaults) with the overrides of `environ` laid over them.

    Raises `InvalidInput` with all problems, one a line: an unknown key, a wrong value, a file that cannot be read.
    """
    file = _find(path, environ)
    text = _read(file) if file else ""
    table = _parse(text, file)
    _make_absolute(table, file.parent if file else Path.cwd())
    given, problems = overrides(environ)
    for override in given:
        value = _absolute(override.value, Path.cwd()) if override.keys in PATHS else override.value
        if not _lay_over(table, override.keys, value):
            problems.append(f"{override.variable}: its section in {file} is not a table")
    places = _places(text)
    named = {".".join(override.keys): override.variable for override in given}

    def place(key: str) -> str:
        above = next((k for k in _upwards(key) if k in named or k in places), "")
        return named.get(above) or f"{file or 'settings'}" + (f":{places[above]}" if above in places else "")

    settings, found = _validate(table)
    problems += [f"{place(key)}: {key + ': ' if key else ''}{message}" for key, message in found]
    if problems or settings is None:
        head = f"cannot use {file or 'the settings'}"
        raise InvalidInput(f"{head}: {problems[0]}" if len(problems) == 1 else "\n  ".join([f"{head}:", *problems]))
    told = {key: f"{file}:{line}" for key, line in places.items()} | named
    settings._origins = Origins(str(file or ""), told)
    return settings


# --- the file -------------------------------------------------------------------------------------------------------


def _find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    if named := path or environ.get(f"{PREFIX}CONFIG"):
        if str(named) == os.devnull:  # a wish for none
            return None
        return Path(named).expanduser().absolute()
    return next((f.absolute() for f in (Path("config.toml"), SYSTEM_FILE) if f.is_file()), None)


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except OSError as error:
        raise InvalidInput(f"cannot read {file}: {error.strerror or error}", hint="--config names the file") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"cannot read {file}: byte {error.start} is not UTF-8") from error


def _parse(text: str, file: Path | None) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInput(f"cannot use {file}: not valid TOML: {error}") from error


def _lay_over(table: dict[str, Any], keys: tuple[str, ...], value: object) -> bool:
    """False where the file has a plain value in place of a section."""
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            return False
    table[keys[-1]] = value
    return True


def _places(text: str) -> dict[str, int]:
    """Key's path to its line. Reads headers and `key =` lines only, which is where keys begin."""
    section, places = "", dict[str, int]()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
            section = header[1].replace('"', "").replace("'", "")
            places.setdefault(section, number)
        elif key := re.match(r"""\s*((?:[\w.-]+|"[^"]*"|'[^']*')+)\s*=""", line):
            name = key[1].replace('"', "").replace("'", "")
            places.setdefault(f"{section}.{name}" if section else name, number)
    return places


def _make_absolute(table: dict[str, Any], base: Path) -> None:
    for *above, key in PATHS:
        inner: Any = table
        for part in above:
            inner = inner.get(part) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and key in inner:
            inner[key] = _absolute(inner[key], base)


def _absolute(value: object, base: Path) -> object:
    """A path counts from `base`; `~/` is the user's folder. Values of another type are left to validation."""
    if isinstance(value, list):
        return [_absolute(v, base) for v in value]
    if not isinstance(value, str) or not value:
        return value
    return os.path.normpath(Path.home() / value[2:] if value.startswith("~/") else base / value)


# --- what is wrong --------------------------------------------------------------------------------------------------


def _validate(table: Mapping[str, Any]) -> tuple[Settings | None, list[tuple[str, str]]]:
    """Settings, or what is wrong: key and message."""
    found: list[tuple[str, str]] = []
    settings = None
    try:
        settings = Settings.model_validate(table)
    except ValidationError as error:
        found = [_explain(dict(e)) for e in error.errors(include_url=False)]
    if isinstance(defaults := table.get("defaults"), dict):
        given = {key: value for key, value in defaults.items() if value != ""}
        _, problems = deployment_from_mapping(given, "config.toml", "defaults")
        found += [_told(p) for p in problems if p.severity == "error"]
        if "service_name" in given:
            found.append(("defaults.service_name", "a name belongs to one service and has no default"))
    return settings, found


def _told(problem: Problem) -> tuple[str, str]:
    return problem.path, problem.message + (f" ({problem.hint})" if problem.hint else "")


def _explain(error: Mapping[str, Any]) -> tuple[str, str]:
    keys = [str(part) for part in error["loc"]]
    key = re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", ".".join(keys))
    if error["type"] != "extra_forbidden":
        return key, str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "should be")
    siblings = list(_fields(keys[:-1]))
    return key, f"unknown key{did_you_mean(keys[-1], siblings)}"


def _fields(keys: list[str]) -> Mapping[str, object]:
    kind: object = Settings
    for key in keys:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[key].annotation
        else:
            kind = get_args(kind)[1]
    return kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}


def _upwards(key: str) -> Iterator[str]:
    """`a.b[0]`, `a.b`, `a`."""
    while key:
        yield key
        key = re.sub(r"(\.[^.\[]*|\[\d+\]|^[^.\[]*)$", "", key)
