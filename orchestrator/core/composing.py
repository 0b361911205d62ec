"""Bytes of a YAML file to nodes with their places, however hostile the bytes are. First step of `core.loading`.

Nodes are built from the parser's event stream with a stack of our own: libyaml's composer recurses and ends the
process on deep nesting, and follows aliases without counting them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from orchestrator.core.nodes import MAX_DEPTH, Entries, Items, Node, Scalar
from orchestrator.core.problems import Problem
from orchestrator.core.units import shown

MAX_BYTES = 1 << 20
MAX_ALIASED = 10_000
"""Nodes that all aliases of a file may stand for."""
MAX_NODES = 200_000
MAX_TWICE = 100
"""Keys given twice, after which reading stops."""

_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Document:
    """`root` None: nothing could be read; `lines` are the text's, for showing places."""

    root: Node | None
    lines: tuple[str, ...]
    problems: tuple[Problem, ...] = ()


class Broken(Exception):
    """Reading stops here: nothing after this place can be trusted."""

    def __init__(self, line: int, column: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line, self.column, self.message, self.hint = line, column, message, hint


def compose(data: bytes, file: str) -> Document:
    """The document in `data`, or what is wrong with it. Never raises; bounded in time and memory by the file's size."""
    lines: tuple[str, ...] = ()
    composer = _Composer(file)
    try:
        text = _decode(data)
        lines = tuple(_BREAK.split(text))
        _refuse_unprintable(text)
        root = composer.run(_events(text, lines))
    except Broken as broken:
        if not lines and len(data) <= MAX_BYTES and not data.startswith(_UTF_16):
            lines = tuple(_BREAK.split(data.decode("utf-8", "replace").removeprefix(_BOM)))
        at = _inside(lines, broken.line, broken.column)
        stop = Problem("error", file, *at, composer.path(), broken.message, broken.hint)
        return Document(None, lines, (*composer.problems, stop))
    return Document(root, lines, tuple(composer.problems))


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise Broken(1, 1, f"the file has {len(data)} bytes", "at most 1 MiB; keep data in files of their own")
    if data.startswith(_UTF_16):
        raise Broken(1, 1, "the file is UTF-16", "save it as UTF-8")
    try:
        return data.decode("utf-8").removeprefix(_BOM)
    except UnicodeDecodeError as error:
        line, column = _place(data[: error.start].decode("utf-8", "replace").removeprefix(_BOM))
        byte = data[error.start]
        raise Broken(line, column, f"byte 0x{byte:02x} is not UTF-8 text", "save the file as UTF-8") from None


def _refuse_unprintable(text: str) -> None:
    if match := _UNPRINTABLE.search(text):
        line, column = _place(text[: match.start()])
        raise Broken(line, column, f"character U+{ord(match[0]):04X} is not allowed in YAML", "remove or escape it")


def _place(before: str) -> tuple[int, int]:
    lines = _BREAK.split(before)
    return len(lines), len(lines[-1]) + 1


def _inside(lines: tuple[str, ...], line: int, column: int) -> tuple[int, int]:
    """The place, moved to the end of the text where a parser points behind it."""
    line = max(1, min(line, len(lines) or 1))
    width = len(lines[line - 1]) if lines else 0
    return line, max(1, min(column, width + 1))


def _events(text: str, lines: tuple[str, ...]) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        at_tab = line <= len(lines) and "\t" in lines[line - 1][: column + 1]
        message = " ".join(filter(None, (error.context, error.problem)))
        hint = "indent with spaces; YAML allows no tabs there" if at_tab else _syntax_hint(message)
        raise Broken(line, column, f"this is not valid YAML: {message}", hint) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Broken(1, 1, f"this is not valid YAML: {error}") from None


def _start(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _syntax_hint(message: str) -> str:
    match message:
        case m if "mapping values are not allowed" in m:
            return "put quotes around a value that contains `: `"
        case m if "did not find expected key" in m or "could not find expected ':'" in m:
            return "check the indentation and the `:` after each key"
        case m if "expected <block end>" in m or "did not find expected '-' indicator" in m:
            return "check the indentation: items of one list and keys of one map begin in the same column"
        case m if "cannot start any token" in m:
            return "put quotes around a value that begins with a special character"
        case m if "unexpected end of stream" in m or "did not find expected ',' or" in m:
            return "close the quote or bracket"
    return ""


@dataclass(slots=True)
class _Open:
    """A list or map whose end was not met yet. `size` counts nodes with aliases expanded, `height` levels below it."""

    node: Items | Entries
    anchor: str | None
    size: int = 1
    height: int = 1
    key: Scalar | None = None


@dataclass(slots=True)
class _Composer:
    file: str
    problems: list[Problem] = field(default_factory=list)
    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, tuple[Node, int, int] | None] = field(default_factory=dict)
    """Anchor to its node, size and height; None while it is still open."""
    aliased: int = 0
    root: Node | None = None
    documents: int = 0
    nodes: int = 0

    def run(self, events: Iterator[yaml.Event]) -> Node | None:
        for event in events:
            line, column = _start(event)
            match event:
                case yaml.ScalarEvent():
                    self._refuse_tag(event, line, column)
                    scalar = Scalar(event.value, not event.style, line, column)
                    if event.anchor:
                        self.anchors[event.anchor] = (scalar, 1, 1)
                    self._add(scalar, 1, 1)
                case yaml.AliasEvent():
                    self._alias(event, line, column)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._refuse_tag(event, line, column)
                    self._open(event, line, column)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._close()
                case yaml.DocumentStartEvent():
                    self.documents += 1
                    if self.documents > 1:
                        raise Broken(line, column, "a second document begins here", "one file holds one document")
        if self.root is None or (isinstance(self.root, Scalar) and self.root.is_null):
            raise Broken(1, 1, "the file is empty")
        return self.root

    def path(self) -> str:
        """Where the reading stands: `models[0].service`."""
        steps = ""
        for level in self.stack:
            if isinstance(level.node, Items):
                steps += f"[{len(level.node.items)}]"
            elif level.key is not None:
                steps += f".{level.key.text}"
        return shown(steps.removeprefix("."), 200)[1:-1] if steps else ""

    def _refuse_tag(self, event: yaml.NodeEvent, line: int, column: int) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            short = tag.replace("tag:yaml.org,2002:", "!!")
            raise Broken(line, column, f"tag {shown(short)} is not allowed", "remove it: the key gives the type")

    def _open(self, event: yaml.CollectionStartEvent, line: int, column: int) -> None:
        if len(self.stack) >= MAX_DEPTH:
            raise Broken(line, column, f"nested deeper than {MAX_DEPTH} levels", "a definition needs about ten")
        node: Items | Entries
        if isinstance(event, yaml.MappingStartEvent):
            node = Entries(line=line, column=column)
        else:
            node = Items(line=line, column=column)
        if event.anchor:
            self.anchors[event.anchor] = None
        self.stack.append(_Open(node, event.anchor))

    def _close(self) -> None:
        done = self.stack.pop()
        if isinstance(done.node, Entries) and "<<" in done.node.values and done.node.keys["<<"].plain:
            self._merge(done.node)
        if done.anchor:
            self.anchors[done.anchor] = (done.node, done.size, done.height)
        self._add(done.node, done.size, done.height)

    def _alias(self, event: yaml.AliasEvent, line: int, column: int) -> None:
        name = event.anchor
        if name not in self.anchors:
            raise Broken(line, column, f"alias `*{name}` has no anchor `&{name}` before it")
        target = self.anchors[name]
        if target is None:
            raise Broken(line, column, f"alias `*{name}` contains itself")
        node, size, height = target
        self.aliased += size
        if self.aliased > MAX_ALIASED:
            raise Broken(line, column, f"aliases stand for more than {MAX_ALIASED} values", "use fewer aliases")
        if len(self.stack) + height > MAX_DEPTH + 1:
            raise Broken(line, column, f"nested deeper than {MAX_DEPTH} levels", "a definition needs about ten")
        self._add(node, size, height)

    def _add(self, node: Node, size: int, height: int) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise Broken(node.line, node.column, f"the file has more than {MAX_NODES} values", "keep data elsewhere")
        if not self.stack:
            self.root = node
            return
        level = self.stack[-1]
        level.size += size
        level.height = max(level.height, height + 1)
        if isinstance(level.node, Items):
            level.node.items.append(node)
        elif level.key is None:
            if not isinstance(node, Scalar):
                raise Broken(
                    node.line, node.column, "a key must be plain text", "quote a value that begins with { or ["
                )
            level.key = node
        else:
            self._put(level.node, level.key, node)
            level.key = None

    def _put(self, entries: Entries, key: Scalar, value: Node) -> None:
        if (first := entries.keys.get(key.text)) is None:
            entries.keys[key.text] = key
            entries.values[key.text] = value
            return
        text = f"key {shown(key.text)} is given twice: lines {first.line} and {key.line}"
        self.problems.append(Problem("error", self.file, key.line, key.column, self.path(), text, "keep one of them"))
        if len(self.problems) == MAX_TWICE:
            raise Broken(key.line, key.column, f"{MAX_TWICE} keys are given twice", "the rest is not read")

    def _merge(self, into: Entries) -> None:
        """Apply `<<`: the map's own keys win, then the first of several merged maps."""
        place, merged = into.keys.pop("<<"), into.values.pop("<<")
        for source in merged.items if isinstance(merged, Items) else [merged]:
            if not isinstance(source, Entries):
                raise Broken(
                    place.line, place.column, "`<<` merges only maps", "give it an alias of a map, or a list of them"
                )
            for name, value in source.values.items():
                if name not in into.values:
                    into.keys[name] = source.keys[name]
                    into.values[name] = value
