"""`orchestrator schema`: the JSON Schemas of definitions and of config.toml, for editors."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

import typer


class Which(StrEnum):
    DEFINITION = "definition"
    CONFIG = "config"


def schema(
    which: Annotated[Which, typer.Argument(help="Of model-definition.yml, or of config.toml.")] = Which.DEFINITION,
) -> None:
    """Print a JSON Schema. Editors check and complete a file with it.

    Examples:
      orchestrator schema > model-definition.schema.json
      orchestrator schema config
    """
    print(text_of(which), end="")


def text_of(which: Which) -> str:
    """As `schemas/` keeps it."""
    from orchestrator.core.schema import definition_schema

    made = definition_schema() if which is Which.DEFINITION else config_schema()
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def config_schema() -> dict[str, Any]:
    """Schema of config.toml; `[defaults]` takes the keys of `deployment` but for the name, and "" for left out."""
    from orchestrator.core.definition import Deployment
    from orchestrator.core.schema import DRAFT, part_schema
    from orchestrator.settings import Settings

    made = Settings.model_json_schema()
    deployment = part_schema(Deployment)
    inner = deployment.pop("$defs", {})
    given = deployment["properties"]
    deployment["properties"] = {
        key: {"anyOf": [value, {"const": ""}]} for key, value in given.items() if "service" not in key
    }
    made["properties"]["defaults"] |= {"$ref": "#/$defs/Deployment"}
    for key in ("additionalProperties", "type"):
        made["properties"]["defaults"].pop(key, None)
    made["$defs"] |= inner | {"Deployment": deployment}
    amount = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]}
    made["$defs"]["GroupSettings"]["properties"]["slots"]["additionalProperties"] = amount
    return {"$schema": DRAFT, "title": "config.toml"} | {k: v for k, v in made.items() if k != "title"}
