"""Readers of single values, lists and maps: a node to a value, or `BAD` once it is reported why not.

Small functions that `core.reading` puts together by the annotations of `core.definition`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from orchestrator.core.kinds import Kind
from orchestrator.core.nodes import Entries, Items, Node, Scalar
from orchestrator.core.report import Report, join
from orchestrator.core.units import Wrong


class _Bad:
    """What a reader returns for a value that it has reported."""


BAD: Final[Any] = _Bad()
Reader = Callable[[Node, str, Report], Any]

_MADE_OF = {Scalar: "a single value", Items: "a list", Entries: "a map"}


def or_null(reader: Reader) -> Reader:
    return lambda node, path, report: None if isinstance(node, Scalar) and node.is_null else reader(node, path, report)


def empty_is_null(reader: Reader) -> Reader:
    return lambda node, path, report: (
        None if isinstance(node, Entries) and not node.values else reader(node, path, report)
    )


def one_or_many(reader: Reader) -> Reader:
    def read_one(node: Node, path: str, report: Report) -> Any:
        one = isinstance(node, Scalar)
        return reader(Items([node], node.line, node.column) if one else node, path, report)

    return read_one


def filled(reader: Reader, right: str) -> Reader:
    def read_filled(node: Node, path: str, report: Report) -> Any:
        if isinstance(node, Items) and not node.items:
            report.error(node, path, "is an empty list", right)
            return BAD
        return reader(node, path, report)

    return read_filled


# --- single values --------------------------------------------------------------------------------------------------


def scalar(kind: Kind) -> Reader:
    parse = kind.parse

    def read_scalar(node: Node, path: str, report: Report) -> Any:
        if not isinstance(node, Scalar):
            return expected(kind.name, node, path, report)
        if "\0" in node.text:
            report.error(node, path, "contains a NUL character", "remove it: no program can take it")
            return BAD
        try:
            return parse(node.text)
        except Wrong as wrong:
            report.error(node, path, str(wrong), wrong.hint)
            return BAD

    return read_scalar


def _as_list(node: Node) -> str:
    words = node.text.split() if isinstance(node, Scalar) and len(node.text) <= 60 else []
    return f" such as [{', '.join(words)}]" if words else ""


def expected(what: str, node: Node, path: str, report: Report) -> Any:
    report.error(node, path, f"is {_MADE_OF[type(node)]}", f"{what} is expected here")
    return BAD


def free(node: Node, path: str, report: Report) -> Any:
    """A value whose key has no rule: numbers, true, false and null only where writing them again gives the same."""
    match node:
        case Items():
            return [free(item, path, report) for item in node.items]
        case Entries():
            return {key: free(value, path, report) for key, value in node.values.items()}
    return _guess(node)


def _guess(node: Scalar) -> Any:
    if not node.plain or node.text in ("true", "false"):
        return node.text == "true" if node.plain else node.text
    if node.is_null:
        return None
    for number in (int, float):
        try:
            value = number(node.text) if len(node.text) <= 18 else None
        except ValueError:
            continue
        if repr(value) == node.text and math.isfinite(value or 0):
            return value
    return node.text


# --- lists and maps -------------------------------------------------------------------------------------------------


def list_of(item: Reader) -> Reader:
    def read_list(node: Node, path: str, report: Report) -> Any:
        if not isinstance(node, Items):
            return expected(f"a list{_as_list(node)}", node, path, report)
        values = []
        for index, child in enumerate(node.items):
            here = f"{path}[{index}]"
            report.positions[here] = (child.line, child.column)
            values.append(item(child, here, report))
        return BAD if BAD in values else tuple(values)

    return read_list


def map_of(reader_of: Callable[[str], Reader | None]) -> Reader:
    def read_map(node: Node, path: str, report: Report) -> Any:
        if not isinstance(node, Entries):
            return expected("a map", node, path, report)
        values = {}
        for key, child in node.values.items():
            here = join(path, key)
            report.positions[here] = (child.line, child.column)
            try:
                reader = reader_of(key)
            except Wrong as wrong:
                report.error(node.keys[key], here, str(wrong), wrong.hint)
                values[key] = BAD
                continue
            if reader is not None:
                values[key] = reader(child, here, report)
        return BAD if BAD in values.values() else values

    return read_map
