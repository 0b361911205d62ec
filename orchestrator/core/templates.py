"""References in the strings of pre-start actions and in the start command: found, checked and filled in.

Validation asks which references can never be filled; the executor fills the rest in. Contract: docs/definition.md,
"Templates". A reference is a brace that opens a known **key**: `port`, `ports[0]`, `cfg`, `probe[out]`; every other
brace is text. Around a known key braces double: `{{port}}` is the text `{port}`, `{{{port}}}` is `{8000}`.
Every function takes linear time.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from orchestrator.core.definition import Action

BUILT_IN = frozenset({"model_path", "port", "ports[0]", "routing_id", "service_name", "runtime_path"})
"""Keys that every routing has. A `ref` must not be called like one (or `ports`)."""

RESULTS: Mapping[str, tuple[str, ...]] = {
    "write_tempfile": ("",),
    "run_command": ("[out]", "[err]", "[exit_code]"),
}
"""What follows a `ref` in the keys of each action's result. An action that is absent has no result."""

Commandline = tuple[str, ...] | str | None

_KEY = r"[^\W\d]\w*+(?:\[\w++\])?+"
_REFERENCE = re.compile(rf"(?<!\{{)(\{{++)({_KEY})(\}}++)")
_BACKENDAI = re.compile(rf"\{{\{{|\}}\}}|\{{({_KEY})\}}|[{{}}]")


class RefProblem(NamedTuple):
    """A reference that cannot be filled: where (`pre_start_actions[2].args.message`), its key, and what to do."""

    path: str
    key: str
    hint: str


def render(text: str, values: Mapping[str, str]) -> str:
    """A string of an action with each reference to a key of `values` filled in. Values are not looked into again."""
    if backendai_style(text, values):
        return _BACKENDAI.sub(lambda m: values[m[1]] if m[1] else m[0][0], text)
    return _filled(text, values)


def _filled(text: str, values: Mapping[str, str]) -> str:
    """As `render`, but never read Backend.AI's way."""

    def fill(match: re.Match[str]) -> str:
        opening, key, closing = match.groups()
        if key not in values:
            return match[0]
        pairs = min(len(opening), len(closing))
        inside = values[key] if pairs % 2 else key
        return opening[pairs - pairs // 2 :] + inside + closing[pairs - pairs // 2 :]

    return _REFERENCE.sub(fill, text)


def escape(text: str, known: Collection[str]) -> str:
    """The template that gives `text` itself."""

    def double(match: re.Match[str]) -> str:
        opening, key, closing = match.groups()
        pairs = min(len(opening), len(closing)) if key in known else 0
        return "{" * pairs + match[0] + "}" * pairs

    return _REFERENCE.sub(double, text)


def references(text: str, known: Collection[str]) -> set[str]:
    """The known keys that `render` would fill in."""
    return {key for key in _keys(text) if key in known}


def backendai_style(text: str, known: Collection[str]) -> bool:
    """Is this a whole Backend.AI template, in which every doubled brace stands for one?

    It has doubled braces, every single brace belongs to a known reference, and there is at least one of these.
    """
    if "{{" not in text and "}}" not in text:
        return False
    doubled = filled = False
    for match in _BACKENDAI.finditer(text):
        if len(match[0]) == 1 or (match[1] and match[1] not in known):
            return False
        filled = filled or bool(match[1])
        doubled = doubled or not match[1]
    return doubled and filled


def render_action(action: Action, values: Mapping[str, str]) -> Action:
    """The action with every string of its args rendered."""

    def fill(value: object) -> object:
        match value:
            case str():
                return render(value, values)
            case tuple():
                return tuple(fill(item) for item in value)
            case _:
                return value

    args = action.args.model_copy(update={name: fill(value) for name, value in action.args})
    return action.model_copy(update={"args": args})


def render_command(command: Commandline, values: Mapping[str, str]) -> Commandline:
    """The start command with its references filled in; a whole Backend.AI template is read so only in actions."""
    match command:
        case None:
            return None
        case str():
            return _filled(command, values)
        case _:
            return tuple(_filled(word, values) for word in command)


def templates(actions: Sequence[Action], start_command: Commandline = None) -> Iterator[tuple[str, str]]:
    """Every string that is a template, with its key path below `service`, in the order of their use."""
    for index, action in enumerate(actions):
        yield from _action_templates(index, action)
    yield from _strings("start_command", start_command)


def known_keys(actions: Sequence[Action]) -> frozenset[str]:
    """All keys that can be filled in once `actions` have run."""
    results = {a.ref + suffix for a in actions if a.ref for suffix in RESULTS.get(a.action, ())}
    return BUILT_IN | results


def undefined_refs(actions: Sequence[Action], start_command: Commandline = None) -> list[RefProblem]:
    """References to a `ref` that has no such result, or none yet, where they stand.

    A name that is no `ref` of `actions` is no reference, hence no problem.
    """
    problems: list[RefProblem] = []
    for index, action in enumerate(actions):
        for path, text in _action_templates(index, action):
            problems += _problems(path, text, index, actions)
    for path, text in _strings("start_command", start_command):
        problems += _problems(path, text, len(actions), actions)
    return problems


def _keys(text: str) -> Iterator[str]:
    """Everything that stands where a key would, known or not, but for what doubled braces make text."""
    for match in _REFERENCE.finditer(text):
        if min(len(match[1]), len(match[3])) % 2:
            yield match[2]


def _action_templates(index: int, action: Action) -> Iterator[tuple[str, str]]:
    for name, value in action.args:
        yield from _strings(f"pre_start_actions[{index}].args.{name}", value)


def _strings(path: str, value: object) -> Iterator[tuple[str, str]]:
    match value:
        case str():
            yield path, value
        case tuple():
            for index, item in enumerate(value):
                yield from _strings(f"{path}[{index}]", item)


def _problems(path: str, text: str, position: int, actions: Sequence[Action]) -> Iterator[RefProblem]:
    """What is wrong with the references in `text`, which is used before `actions[position]` runs."""
    for key in dict.fromkeys(_keys(text)):
        name = key.partition("[")[0]
        owners = [i for i, action in enumerate(actions) if action.ref == name]
        if key in BUILT_IN or not owners:
            continue
        earlier = [i for i in owners if i < position]
        hint = _fault(key, name, actions[earlier[-1]]) if earlier else _too_early(owners[0], position)
        if hint:
            yield RefProblem(path, key, f"{hint}; for the text itself write {{{{{key}}}}}")


def _too_early(owner: int, position: int) -> str:
    if owner == position:
        return f"pre_start_actions[{owner}] sets it itself, when it has run"
    return f"pre_start_actions[{owner}] sets it only later: move that action up"


def _fault(key: str, name: str, owner: Action) -> str:
    """Why `key` is no result of `owner`; empty where it is one."""
    valid = [name + suffix for suffix in RESULTS.get(owner.action, ())]
    if key in valid:
        return ""
    if not valid:
        return f"{owner.action} has no result"
    return f"{owner.action} gives " + ", ".join(f"{{{one}}}" for one in valid)
