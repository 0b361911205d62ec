"""A first definition as text, with comments, from a `core.drafting.Draft`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import yaml

from orchestrator.core.drafting import MOUNT, Draft, with_port

_PLAIN = re.compile(r"[A-Za-z0-9_./=@%+-]([A-Za-z0-9_./:=@%+-]*[A-Za-z0-9_./=@%+-])?")
_NOT_TEXT = re.compile(r"(?i:null|true|false|yes|no|on|off|y|n)|[-+.\d][-+._\dexo]*|-")


def definition_text(draft: Draft) -> str:
    """Valid as it is, with the keys that are not set as comments."""
    return "\n".join(_lines(draft)) + "\n"


def _lines(draft: Draft) -> Iterator[str]:
    made = f" It was made from {_comment(draft.source)}." if draft.source else ""
    yield f"# What is served from this folder.{made}"
    yield "# `orchestrator validate --show .` checks it, docs/definition.md has every key."
    yield "models:"
    yield f"  - name: {_scalar(draft.name)}"
    if draft.workdir:
        yield "    # The start command runs here, in the image's own WORKDIR; this folder lies elsewhere, at"
        yield "    # model_mount_destination. `validate` warns of that."
        yield f"    model_path: {_scalar(draft.workdir)}"
    else:
        yield "    # Where this folder lies in the routing; the start command runs there."
        yield f"    model_path: {MOUNT}"
    yield "    service:"
    yield from _command(draft)
    yield f"      port: {draft.port}" + (f"  # {_comment(draft.told)}" if draft.told else "")
    yield from _check(draft)
    if draft.title or draft.description:
        yield "    metadata:"
        for key, value in (("title", draft.title), ("description", draft.description)):
            if value:
                yield f"      {key}: {_scalar(value)}"
    yield "    deployment:"
    yield from _deployment(draft)
    if draft.notes:
        yield "# Not taken over:"
        yield from (f"# - {_comment(note)}" for note in draft.notes)


def _command(draft: Draft) -> Iterator[str]:
    if draft.command is None:
        yield "      # The image's own command. Another takes the place of entrypoint and command together:"
        yield f"      #start_command: {_flow(with_port(draft.own, draft.port) or ('serve', '--port', '{port}'))}"
        return
    yield "      # A list is executed as it is, a text by a shell. {port} is filled in."
    command = draft.command
    yield f"      start_command: {_scalar(command) if isinstance(command, str) else _flow(command)}"


def _check(draft: Draft) -> Iterator[str]:
    if not draft.health:
        yield "      # Without it a routing is HEALTHY once its port accepts a connection:"
        yield "      #health_check: {path: /health, interval: 10, initial_delay: 60}"
        return
    yield "      # HEALTHY while this answers 200; for initial_delay seconds after the start failures do not count."
    yield "      health_check:"
    yield f"        path: {_scalar(draft.health)}"
    for key, value in ({"interval": 10.0, "initial_delay": 60.0} | dict(draft.check)).items():
        yield f"        {key}: {value:g}"


def _deployment(draft: Draft) -> Iterator[str]:
    if draft.image:
        yield f"      image: {_scalar(draft.image)}"
    else:
        yield "      # Needed where routings are containers:"
        yield "      #image: python:3.12"
    if draft.workdir:
        yield f"      model_mount_destination: {MOUNT}"
    yield "      desired_routing_count: 1"
    if draft.public:
        yield "      open_to_public: true"
    else:
        yield "      #open_to_public: true    # no token is needed then"
    if draft.resources:
        yield "      resources:"
        yield from (f"        {key}: {value}" for key, value in draft.resources.items())
    else:
        yield "      #resources: {cpu: 2, mem: 8g, shm: 1g, cuda.device: 1}"
    if draft.environ:
        yield "      environ:"
        yield from (f"        {_scalar(key)}: {_scalar(value)}" for key, value in draft.environ.items())
    else:
        yield "      #environ: {LOG_LEVEL: info}"
    yield "      # Variable to the name of a file in the daemon's secrets folder, which holds its value:"
    names = ", ".join(f"{_scalar(key)}: {_scalar(key.lower().replace('_', '-'))}" for key in draft.secrets)
    yield f"      #secrets: {{{names or 'HF_TOKEN: hf-token'}}}"
    yield "      #start_timeout: 1800     # seconds from creation to first HEALTHY"
    yield "      #stop_grace: 30          # seconds for open requests to end"


def _flow(words: Sequence[str]) -> str:
    return f"[{', '.join(_scalar(word) for word in words)}]"


def _scalar(value: str) -> str:
    """As YAML has it, quoted unless it is plain for sure."""
    if _PLAIN.fullmatch(value) and not _NOT_TEXT.fullmatch(value):
        return value
    return str(yaml.safe_dump(value, default_style='"', allow_unicode=True, width=1 << 30)).rstrip("\n")


def _comment(value: str) -> str:
    """One line, whatever it holds."""
    line = " ".join(value.split())
    return line if line.isprintable() else ascii(line)
