"""What the paths and arguments that definitions give may look like; asked by validation, and again once rendered."""

from __future__ import annotations


def path_fault(path: str, *, folder: bool = False) -> str:
    """Why `path` cannot name a file (or a `folder`) inside a routing; empty where it can."""
    if not path:
        return "it is empty"
    if fault := text_fault(path):
        return fault
    if ".." in path.split("/"):
        return "`..` would lead out of its folder"
    if not folder and path.rpartition("/")[2] in ("", "."):
        return "it names a folder"
    return ""


def text_fault(text: str) -> str:
    """Why an operating system cannot take `text` as a path or an argument; empty where it can."""
    if "\0" in text:
        return "it contains a NUL character"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "it contains half of a surrogate pair"
    return ""
