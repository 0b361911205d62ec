"""References in templates: which are found, what they give, what validation says about those that cannot be filled."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from orchestrator.core.definition import Action
from orchestrator.core.templates import (
    backendai_style,
    escape,
    references,
    render,
    render_action,
    render_command,
    templates,
    undefined_refs,
)

VALUES = {"port": "8000", "ports[0]": "8000", "model_path": "/models", "cfg": "/tmp/x.py", "probe[out]": "a {port}"}

RENDERED = {
    "reference": ("--port {port}", "--port 8000"),
    "list form": ("{ports[0]}", "8000"),
    "ref": ("python {cfg} {model_path}", "python /tmp/x.py /models"),
    "a value is not looked into": ("{probe[out]}", "a {port}"),
    "no text": ("", ""),
    "JSON": ('{"a": {"b": {port}}}', '{"a": {"b": 8000}}'),
    "JSON without references": ('{"port": 8000}', '{"port": 8000}'),
    "awk": ("awk '{print $1}'", "awk '{print $1}'"),
    "shell": ("${HOME} $(id) ${HOME:-{port}}", "${HOME} $(id) ${HOME:-8000}"),
    "Python's conversions are text": ("{port!r} {port:>9} {port.real}", "{port!r} {port:>9} {port.real}"),
    "spaces are text": ("{ port }", "{ port }"),
    "another field is text": ("{port[0]} {probe} {probe[x]}", "{port[0]} {probe} {probe[x]}"),
    "unknown name": ("{prot}", "{prot}"),
    "literal": ("{{port}}", "{port}"),
    "literal of a literal": ("{{{{port}}}}", "{{port}}"),
    "reference in braces": ("{{{port}}}", "{8000}"),
    "half open": ("{port", "{port"),
    "one brace too many before": ("{{port}", "{8000"),
    "one brace too many behind": ("{port}}", "8000}"),
    "Backend.AI": ('{{"port": {port}, "x": {{}}}}', '{"port": 8000, "x": {}}'),
    "Backend.AI, literal": ('{{"{{port}}": {port}}}', '{"{port}": 8000}'),
    "Jinja": ("{{ name }} {% if x %}{{ y }}{% endif %}", "{{ name }} {% if x %}{{ y }}{% endif %}"),
    "a single brace is not Backend.AI": ('{{"port": {port}}} {', '{{"port": 8000}} {'),
    "an unknown name is not Backend.AI": ('{{"port": {port}, {who}}}', '{{"port": 8000, {who}}}'),
    "brace before a reference is not Backend.AI": ("}{port}}}", "}8000}}"),
    "unicode": ("порт {port} ☃", "порт 8000 ☃"),
}


@pytest.mark.parametrize(("text", "expected"), RENDERED.values(), ids=RENDERED.keys())
def test_render(text: str, expected: str) -> None:
    assert render(text, VALUES) == expected


bracy = st.lists(st.sampled_from(["{", "}", "{{", "}}", "port", "ports[0]", "cfg", "a", " ", "[", "]"])).map("".join)


@given(bracy | st.text())
def test_every_text_can_be_written_as_a_template(text: str) -> None:
    assert render(escape(text, VALUES), VALUES) == text


@given(bracy)
def test_a_text_without_known_names_stays_as_it_is(text: str) -> None:
    assert render(text, {"other": "x"}) == text


@given(bracy)
def test_rendering_depends_on_the_references_only(text: str) -> None:
    found = references(text, VALUES)
    assert (render(text, VALUES) == render(text, {**VALUES, "port": "<>"})) == ("port" not in found)


@given(bracy)
def test_backendai_templates_render_as_python_formats_them(text: str) -> None:
    names = {"port": "8000", "cfg": "c"}
    if backendai_style(text, names):
        assert render(text, names) == text.format(**names)


@pytest.mark.parametrize(
    "piece", ["{", "}", "{{", "}}{", "{port", "{port}", "{{port}}", "{{{port}}}", "{a[", "{port[", "{" + "a" * 1000]
)
def test_hostile_text_takes_linear_time(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    began = time.perf_counter()
    render(text, VALUES)
    references(text, VALUES)
    assert time.perf_counter() - began < 5


# --- actions --------------------------------------------------------------------------------------------------------


def act(name: str, ref: str | None = None, **args: Any) -> Action:
    action: Action = TypeAdapter(Action).validate_python({"action": name, "ref": ref, "args": args})
    return action


WRITE = act("write_tempfile", "cfg", body=("x",))
PROBE = act("run_command", "probe", command=("nproc",))


def log(message: str) -> Action:
    return act("log", message=message)


PROBLEMS = {
    "defined before": ([WRITE, PROBE, log("{cfg} {probe[out]}{probe[err]}{probe[exit_code]}")], "{cfg}", []),
    "later": ([log("{cfg}"), WRITE], None, [("pre_start_actions[0].args.message", "cfg", "only later")]),
    "itself": (
        [act("run_command", "r", command=("a", "{r[out]}"))],
        None,
        [("pre_start_actions[0].args.command[1]", "r[out]", "itself")],
    ),
    "later and literal": ([log("{{cfg}}"), WRITE], None, []),
    "field of a text": ([WRITE], ("a", "{cfg[out]}"), [("start_command[1]", "cfg[out]", "gives {cfg};")]),
    "unknown field": ([PROBE], "{probe[foo]}", [("start_command", "probe[foo]", "{probe[err]}")]),
    "whole command result": ([PROBE], "{probe}", [("start_command", "probe", "{probe[out]}")]),
    "no result": ([act("mkdir", "d", path="x")], "{d}", [("start_command", "d", "mkdir has no result")]),
    "no ref at all": ([log("{nobody} {nobody[out]}")], "{foo}", []),
    "built-in": ([log("{port} {ports[0]} {runtime_path}")], "{model_path}", []),
    "body lines": (
        [act("write_file", filename="{cfg}", body=("a", "{cfg}")), WRITE],
        None,
        [("pre_start_actions[0].args.filename", "cfg", ""), ("pre_start_actions[0].args.body[1]", "cfg", "")],
    ),
    "the nearest before counts": (
        [WRITE, act("run_command", "cfg", command=("a",))],
        "{cfg}",
        [("start_command", "cfg", "")],
    ),
    "named twice, told once": ([log("{cfg} {cfg}"), WRITE], None, [("pre_start_actions[0].args.message", "cfg", "")]),
}


@pytest.mark.parametrize(("actions", "command", "expected"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_undefined_refs(actions: list[Action], command: Any, expected: list[tuple[str, str, str]]) -> None:
    found = undefined_refs(actions, command)
    assert [(p.path, p.key) for p in found] == [(path, key) for path, key, _ in expected]
    for problem, (_, _, words) in zip(found, expected, strict=True):
        assert words in problem.hint


def test_every_string_of_an_action_is_rendered() -> None:
    action = act("write_file", filename="{cfg}.txt", body=("{port}", "b"), mode=0o600)
    expected = act("write_file", filename="/tmp/x.py.txt", body=("8000", "b"), mode=0o600)
    assert render_action(action, VALUES) == expected
    assert render_command(("a", "{port}"), VALUES) == ("a", "8000")
    assert render_command("a {port}", VALUES) == "a 8000"
    assert render_command(None, VALUES) is None
    assert render_command('echo {{"a": {port}}}', VALUES) == 'echo {{"a": 8000}}', (
        "only actions are read Backend.AI's way"
    )
    assert [path for path, _ in templates([action], "x")] == [
        "pre_start_actions[0].args.filename",
        "pre_start_actions[0].args.body[0]",
        "pre_start_actions[0].args.body[1]",
        "start_command",
    ]
