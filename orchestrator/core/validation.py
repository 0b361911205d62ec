"""Rules between the keys of one part, and notes on what differs from Backend.AI. Called by `core.reading` with the
values that were read so far, so that one wrong value hides no other problem.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from orchestrator.core import definition, templates
from orchestrator.core.definition import Part
from orchestrator.core.report import Report

Check = Callable[[Mapping[str, Any], str, Report], None]

SET_FOR_EVERY_ROUTING = frozenset(
    ("BACKEND_MODEL_NAME", "BACKEND_MODEL_PATH", "PORT", "ORCHESTRATOR_SERVICE", "ORCHESTRATOR_ROUTING")
)


def _definition(values: Mapping[str, Any], _path: str, report: Report) -> None:
    _once(values, "models", "name", report)


def _once(values: Mapping[str, Any], field: str, key: str, report: Report) -> None:
    seen: dict[str, int] = {}
    for index, model in enumerate(values.get(field, ())):
        first = seen.setdefault(getattr(model, key), index)
        if first != index:
            text = f"`{getattr(model, key)}` is also the {key} of {field}[{first}]"
            report.at_path("error", f"{field}[{index}].{key}", text, "give each a name of its own")


def _deployment(values: Mapping[str, Any], path: str, report: Report) -> None:
    resources = values.get("resources") or {}
    if {"mem", "shm"} <= resources.keys() and resources["shm"] >= resources["mem"]:
        text = "shm is part of mem and must be smaller"
        report.at_path("error", f"{path}.resources.shm", text, "raise mem or lower shm")
    environ, secrets = values.get("environ") or {}, values.get("secrets") or {}
    for name in environ.keys() & secrets.keys():
        report.at_path("error", f"{path}.secrets.{name}", "is also given under `environ`", "keep one of them")
    for field, names in (("environ", environ), ("secrets", secrets)):
        for name in sorted(names.keys() & SET_FOR_EVERY_ROUTING):
            text = "is set by the orchestrator for every routing; this value is not used"
            report.at_path("warning", f"{path}.{field}.{name}", text, "remove it")
    targets = Counter(mount.target for mount in values.get("extra_mounts") or () if mount.target)
    for index, mount in enumerate(values.get("extra_mounts") or ()):
        if targets[mount.target] > 1:
            text = f"`{mount.target}` is the target of more than one mount"
            report.at_path("error", f"{path}.extra_mounts[{index}].target", text, "give each a target of its own")


def _update(values: Mapping[str, Any], path: str, report: Report) -> None:
    """What one file alone can have wrong; the rest is `core.updating`, which sees all layers."""
    for index, (before, after) in enumerate(pairwise(values.get("steps", ())), 1):
        if after <= before:
            text = f"{after} % does not rise above the {before} % before it"
            report.at_path("error", f"{path}.steps[{index}]", text, "rising percentages, such as [5, 25, 50]")


def _mount(values: Mapping[str, Any], path: str, report: Report) -> None:
    if values.get("source", "").startswith("/") and not values.get("target"):
        text = "is missing: an absolute source has no target by default"
        report.at_path("error", f"{path}.target", text, "an absolute path inside the routing")


def _service(values: Mapping[str, Any], path: str, report: Report) -> None:
    actions, command = values.get("pre_start_actions", ()), values.get("start_command")
    reserved = {key.partition("[")[0] for key in templates.BUILT_IN}
    for index, action in enumerate(actions):
        if action.ref in reserved:
            text = f"`{action.ref}` would hide the template of that name"
            report.at_path("error", f"{path}.pre_start_actions[{index}].ref", text, "give it another name")
    for where, key, hint in templates.undefined_refs(actions, command):
        report.at_path("error", f"{path}.{where}", f"`{{{key}}}` cannot be filled in here", hint)
    if isinstance(command, str) and values.get("shell", "") is None:
        _split(command, f"{path}.start_command", report)
    known = templates.known_keys(actions)
    for where, text in templates.templates(actions, command):
        if where.startswith("pre_start_actions") and templates.backendai_style(text, known):
            report.at_path("note", f"{path}.{where}", "is read as a Backend.AI template: `{{` stands for `{`")


def _split(command: str, path: str, report: Report) -> None:
    """What no shell reads is split when it starts: a quote that is left open would fail each start."""
    try:
        shlex.split(command)
    except ValueError as error:
        text = f"cannot be split as a shell would: {str(error)[:1].lower()}{str(error)[1:]}"
        report.at_path("error", path, text, "close the quote, or leave `shell` out")


def _no_result(values: Mapping[str, Any], path: str, report: Report) -> None:
    if values.get("ref"):
        text = f"`{values['action']}` has no result to refer to"
        report.at_path("warning", f"{path}.ref", text, "remove it")


def _write_file(values: Mapping[str, Any], path: str, report: Report) -> None:
    _no_result(values, path, report)
    arguments = values.get("args")
    if arguments is not None and arguments.append:
        report.at_path("note", f"{path}.args.append", "appends to the file; Backend.AI replaces it")


def _run_command(values: Mapping[str, Any], path: str, report: Report) -> None:
    arguments = values.get("args")
    if arguments is not None and "check" not in arguments.model_fields_set:
        text = "an exit status other than 0 fails the start; Backend.AI goes on"
        report.at_path("note", f"{path}.action", text, "say `check: true` or `check: false`")


CHECKS: Mapping[type[Part], Check] = {
    definition.Definition: _definition,
    definition.Service: _service,
    definition.Deployment: _deployment,
    definition.Update: _update,
    definition.Mount: _mount,
    definition.WriteFile: _write_file,
    definition.Mkdir: _no_result,
    definition.Log: _no_result,
    definition.RunCommand: _run_command,
}
