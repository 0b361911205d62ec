"""`orchestrator init`: a first definition, from an image, a container or answers. The verb's signature only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.common import Common
from orchestrator.core.errors import InvalidInput


def init(
    common: Common,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Model folder; made where there is none. Default: here.")
    ] = Path(),
    image: Annotated[str | None, typer.Option(metavar="IMAGE", help="From what the engine knows of an image.")] = None,
    container: Annotated[
        str | None, typer.Option(metavar="NAME", help="From a container: its image, command, environment, limits.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name; default: the folder's.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="That the server listens on.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a definition that is there.")] = False,
) -> None:
    """Write a first model-definition.yml, with comments, valid as it is. Without --image or --container it asks.

    Works without a daemon, with the engine of config.toml. Values that look like secrets are never written: their names
    are, to be filled in as `secrets`.

    Examples:
      orchestrator init my-model --image vllm/vllm-openai:latest
      orchestrator init my-model --container happy_turing
      orchestrator init
    """
    from orchestrator.cli.initializing import initialize

    if image and container:
        raise InvalidInput("cannot begin from both: give --image or --container")
    initialize(common, folder, image=image, container=container, name=name, port=port, force=force)
