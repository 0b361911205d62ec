"""What the control API answers and is asked about model folders: part of `core.views`, on the same terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import AwareDatetime, ConfigDict

from orchestrator.core.state import ServiceStatus
from orchestrator.core.views import ProblemView, Request, View

PART = 8 << 20
"""Bytes that one part of an upload may have."""
TAIL = 64 << 10
"""Bytes at the end of what was received whose digest is told."""

ModelStatus = ServiceStatus | Literal["none"]


class ModelView(View):
    """One model folder. It is addressed by its name, which may be there in several models_dirs: the first one wins."""

    name: str
    folder: str
    """Absolute path on the daemon's host."""
    definition: str = ""
    """File name of its definition; empty: it has none yet."""
    valid: bool = False
    """It has a definition, and that has no error."""
    problems: tuple[ProblemView, ...] = ()
    services: tuple[str, ...] = ()
    """Names of those that are made from it."""
    status: ModelStatus = "none"
    """Of the service that is worst off; `none`: there is no service."""
    modified_at: AwareDatetime | None = None
    """When a file was last put into the folder itself or taken from it, or its definition was written."""
    writable: bool = False
    """The daemon may write into it."""
    shadowed_by: str = ""
    """The folder of the same name in an earlier models_dir, which is the one that the name means; empty: this one."""


class ModelRequest(Request):
    name: str
    """Of the folder that is made, in the first models_dir."""


class FileView(View):
    """One entry of a model folder. Hidden ones (`.…`), and names that cannot be printed, are left out."""

    path: str
    """From the model folder, with `/`."""
    kind: Literal["file", "folder", "link", "other"]
    """`link`: one that leads out of the models_dirs or nowhere, and is not followed."""
    size: int = 0
    """Bytes of a file."""
    modified_at: AwareDatetime


class UploadView(View):
    """How far the upload of one file is. Nothing of it is visible before the last byte is there."""

    path: str
    received: int
    """Bytes that are kept: where to go on."""
    total: int
    """Bytes that the file will have; 0 with 0 received: no upload is under way."""
    done: bool = False
    """The file is in its place."""
    tail: str = ""
    """SHA-256 (hex) of the last 64 KiB received, or of all where there are fewer: does what is here begin as the file
    does that is to be sent on? Empty: nothing is here."""


class DefinitionView(View):
    """`digest`: SHA-256 (hex) of the file's bytes, to be given back when it is written; null: it is not there yet."""

    file: str
    text: str
    digest: str | None
    problems: tuple[ProblemView, ...] = ()


class DefinitionRequest(Request):
    """The text that is to take the place of the one with `digest`; null: of none."""

    text: str
    digest: str | None = None


class ValidateRequest(Request):
    """`model`: name of the model folder that `text` is read as the definition of, with the file beside it."""

    text: str
    model: str | None = None


class ValidateView(View):
    valid: bool
    problems: tuple[ProblemView, ...] = ()
    resolved: str | None = None
    """What would run, as `validate --show` prints it; null where there is an error."""


class SchemaView(View):
    """The JSON Schema (draft 7) of model-definition.yml."""

    model_config = ConfigDict(frozen=True, extra="allow")

    title: str
    properties: Mapping[str, Any]
