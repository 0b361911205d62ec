"""A definition with some keys of `deployment` changed in its own text, comments kept; and put in the file's place.

Whether the text says what was meant is checked by who asks, by reading it again. Called in a thread by `app.modifying`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from orchestrator.core.composing import MAX_BYTES
from orchestrator.core.definition import Deployment
from orchestrator.core.errors import Conflict
from orchestrator.core.kinds import Also
from orchestrator.folders.pinned import disk_errors, looked_at, pinned, reopened, write_below
from orchestrator.folders.reading import locate
from orchestrator.settings import Settings

INDENTS = ((2, 4, 2), (2, 2, 0), (4, 4, 2), (4, 4, 0), (4, 6, 4))
"""Of maps, of lists, and of the dash in them: what people write."""
NOT_BY_US = "edit it by hand"
_PLAIN = re.compile(
    r"(?!(?i:true|false|yes|no|on|off|null|nan|inf|y|n)$)([A-Za-z/][A-Za-z0-9_./-]*(:[A-Za-z0-9_./-]+)*|[0-9]+[kmgt])"
)


def edited(text: str, model: str, values: Mapping[str, Any], gone: Sequence[str]) -> str:
    """`values`: deployment keys of the model of this name to what they are to say, maps key by key; `gone`: keys
    (`image`, `environ.KEY`) that are to go. Raises `Conflict` where the text has no such place."""
    try:
        yaml = min((_yaml(*indent) for indent in INDENTS), key=lambda one: _unlike(one, text))
        document = yaml.load(text)
        _change(_deployment(document, model), values, gone)
        out = StringIO()
        yaml.dump(document, out)
    except (YAMLError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Conflict(f"cannot edit the definition: {why}", hint=NOT_BY_US, code="not_editable") from None
    return out.getvalue()


def write_definition(file: Path, before: str, after: str, settings: Settings) -> None:
    """Replace the file's text, whole or not at all. Raises `Conflict` where it is not `before` any more, and
    `Unavailable` where it cannot be written."""
    with disk_errors(f"edit {file}"), pinned(locate(file.parent, settings)) as folder:
        with looked_at(folder, [file.name]) as fd, open(reopened(fd, os.O_RDONLY), "rb") as now:
            if now.read(MAX_BYTES + 1) != before.encode():
                raise Conflict(f"cannot edit {file}: it has changed meanwhile", hint="look at it again", code="changed")
        write_below(folder, file.name, after.encode())


def _yaml(mapping: int, sequence: int, offset: int) -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1 << 20
    yaml.indent(mapping=mapping, sequence=sequence, offset=offset)
    return yaml


def _unlike(yaml: YAML, text: str) -> int:
    """How many lines would change though nothing does."""
    out = StringIO()
    yaml.dump(yaml.load(text), out)
    before, after = text.splitlines(), out.getvalue().splitlines()
    return sum(a != b for a, b in zip(before, after, strict=False)) + abs(len(before) - len(after))


def _deployment(document: Any, model: str) -> Any:
    """The model's map of deployment keys, made where there is none."""
    one = next((m for m in document["models"] if str(m["name"]).strip() == model.strip()), None)
    if one is None:
        raise ValueError(f"its text has no model named {model}")
    if not one.get("deployment"):
        one["deployment"] = {}
    return one["deployment"]


def _change(deployment: Any, values: Mapping[str, Any], gone: Sequence[str]) -> None:
    for key, value in values.items():
        name = _written(deployment, key)
        if isinstance(value, Mapping):
            if not deployment.get(name):
                deployment[name] = {}
            for inner, one in value.items():
                deployment[name][inner] = _scalar(one)
        else:
            deployment[name] = [dict(one) for one in value] if isinstance(value, list | tuple) else _scalar(value)
    for path in gone:
        key, _, inner = path.partition(".")
        name = _written(deployment, key)
        if inner and name in deployment:
            deployment[name].pop(inner, None)
        elif not inner:
            deployment.pop(name, None)


def _written(deployment: Any, key: str) -> str:
    """The name under which the key stands there."""
    also = [m for m in Deployment.model_fields[key].metadata if isinstance(m, Also)]
    return next((name for one in also for name in one.names if name in deployment), key)


def _scalar(value: Any) -> Any:
    """Text that a reader might take for something else is quoted."""
    return DoubleQuotedScalarString(value) if isinstance(value, str) and not _PLAIN.fullmatch(value) else value
