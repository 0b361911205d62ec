"""How a routing's view of paths maps to the host's where nothing is mounted: process runtime, `validate --show`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from orchestrator.core.spec import RoutingSpec

HOME = "/home/work"
"""The routing's own writable folder, to which relative paths of actions refer."""

Paths = Sequence[tuple[str, str]]
"""Pairs of a path inside the routing and the host's path of the same thing, the deepest first."""

_SHELL = re.compile(r"(?:.*/)?(?:ba|da|a|z|k)?sh")
_SHELL_TEXT = re.compile(r"-[a-z]*c")
_WORD_EDGE = r"\s'\"=:;|&()<>`"
_PLAIN = re.compile(r"[\w@%+=:,./-]+")


def host_paths(spec: RoutingSpec, home: str) -> tuple[tuple[str, str], ...]:
    """The model folder, /home/work (which lies at `home`) and the extra mounts of one routing."""
    pairs = {HOME: home} | {m.target: m.source for m in spec.mounts} | {spec.model_mount: spec.model_folder}
    inside = {target.rstrip("/"): source for target, source in pairs.items()}
    return tuple(sorted(((t, s) for t, s in inside.items() if t), key=lambda pair: (-len(pair[0]), pair[0])))


def to_host(argument: str, paths: Paths) -> str:
    """`argument` with the routing's path replaced where the whole of it is or lies under one; else unchanged."""
    for inside, outside in paths:
        if argument == inside or argument.startswith(inside + "/"):
            return outside + argument[len(inside) :]
    return argument


def argv_to_host(argv: Sequence[str], paths: Paths) -> tuple[str, ...]:
    """Whole arguments as by `to_host`; where a shell is given its text (`sh -c TEXT`), the whole words of that text."""
    words = tuple(to_host(argument, paths) for argument in argv)
    if len(argv) > 2 and _SHELL.fullmatch(argv[0]) and _SHELL_TEXT.fullmatch(argv[1]):
        return (*words[:2], _text_to_host(argv[2], paths), *words[3:])
    return words


def _text_to_host(text: str, paths: Paths) -> str:
    """A host's path that a shell would not read as one word is left out: no quoting fits every place in a text."""
    plain = {inside: outside for inside, outside in paths if _PLAIN.fullmatch(outside)}
    if not plain:
        return text
    known = "|".join(re.escape(inside) for inside in plain)
    return re.sub(rf"(?<![^{_WORD_EDGE}])(?:{known})(?=[/{_WORD_EDGE}]|$)", lambda match: plain[match[0]], text)
