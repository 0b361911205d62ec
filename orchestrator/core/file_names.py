"""Which names a model folder and the files in it may have where somebody names them from outside. Pure."""

from __future__ import annotations

from orchestrator.core.errors import InvalidInput, NotFound

LONGEST_NAME = 255
LONGEST_PATH = 2000
"""Bytes."""
DEEPEST = 32
NOT_MODELS = frozenset({"lost+found"})
"""Folders in a models_dir that are no model folders, besides hidden ones."""


def checked_name(text: str) -> str:
    """`text` as the name of a model folder. Raises `InvalidInput`."""
    if wrong := _wrong(text) or ("is not a model folder" if text in NOT_MODELS else ""):
        hint = "a name of printable characters that begins without a dot"
        raise InvalidInput(f"cannot use {text[:80]!r} as the name of a model folder: it {wrong}", hint=hint)
    return text


def is_model_name(name: str) -> bool:
    """Can a model folder have this name?"""
    return not _wrong(name) and name not in NOT_MODELS


def checked_path(text: str, *, empty: bool = False) -> tuple[str, ...]:
    """The names that the path of a file in a model folder consists of; none of them, where that may be, for the folder
    itself. Raises `InvalidInput`."""
    parts = tuple(text.strip("/").split("/")) if text.strip("/") else ()
    wrong = next((f"{part[:80]!r} {found}" for part in parts if (found := _wrong(part))), "")
    if not parts and not empty:
        wrong = "it is empty"
    elif text.startswith("/"):
        wrong = "it begins with /"
    elif len(parts) > DEEPEST or len(text.encode("utf-8", "replace")) > LONGEST_PATH:
        wrong = f"it is deeper than {DEEPEST} folders or longer than {LONGEST_PATH} bytes"
    if wrong:
        hint = "a path below the model folder, such as weights/model.safetensors"
        raise InvalidInput(f"cannot use {text[:80]!r} as the path of a file: {wrong}", hint=hint)
    return parts


def known_path(text: str, *, empty: bool = False) -> tuple[str, ...]:
    """As `checked_path`, of what is to be there already. Raises `NotFound`: nothing can be at another path."""
    try:
        return checked_path(text, empty=empty)
    except InvalidInput as error:
        raise NotFound(error.message, hint=error.hint) from None


def is_file_name(name: str) -> bool:
    """Can a file that is named from outside have this name?"""
    return not _wrong(name)


def _wrong(name: str) -> str:
    if not name or "/" in name:
        return "is not one name"
    if name in (".", ".."):
        return "leads elsewhere"
    if name.startswith("."):
        return "is hidden"
    if not name.isprintable():
        return "has a character that cannot be printed"
    return f"is longer than {LONGEST_NAME} bytes" if len(name.encode("utf-8", "replace")) > LONGEST_NAME else ""
