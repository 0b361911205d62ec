"""What is asked and answered about the inside of a routing: commands that run in it, files in and out."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.core.views import Request, View

SHELL = ("/bin/sh",)
OUT, ERR = 1, 2
"""First byte of a binary message of a command's output; the rest is what it wrote."""


class ExecQuery(Request):
    cmd: tuple[str, ...] = Field(SHELL, min_length=1)
    """The command and its arguments, one a parameter; default: /bin/sh."""
    tty: bool = False
    """On a terminal of its own; out and err are one then."""
    stdin: bool = False
    """It gets what binary messages bring; else its input is empty."""
    user: str = ""
    """User of the container; default: the routing's own."""
    folder: str = ""
    """Working directory; default: the routing's own."""
    env: tuple[str, ...] = ()
    """KEY=VALUE, one a parameter."""
    columns: int = Field(80, ge=1, le=10000)
    """Width of its terminal."""
    rows: int = Field(24, ge=1, le=10000)
    """Height of its terminal."""


class ExecControl(BaseModel):
    """A text message of who asked: `size` is columns and rows of the terminal, `eof` ends the input."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    size: tuple[int, int] | None = None
    eof: bool = False


class ExecEnd(View):
    """The last message of a command. `error`: a problem, where it came to nothing."""

    exit_code: int = 0
    error: dict[str, object] | None = None


class FilesQuery(Request):
    path: str = Field(".", min_length=1, max_length=4096)
    """As the routing sees it; relative: to /home/work."""


class PutQuery(FilesQuery):
    into: bool = False
    """`path` must be a folder. Else, where it is none, the archive's one root becomes `path`."""


class CopiedView(View):
    """What was brought in."""

    routing: str
    path: str
    files: int
    size: int
    """Bytes of the files."""
