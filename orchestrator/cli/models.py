"""`models …`: model folders on the daemon's host, and the files in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.common import Common, ask
from orchestrator.cli.completion import model_names
from orchestrator.cli.output import Column, age, clean, dump, print_facts, print_json, print_table, when
from orchestrator.cli.services import confirm
from orchestrator.core.units import size_text

if TYPE_CHECKING:
    from orchestrator.client import Client
    from orchestrator.core.model_views import ModelView

ModelName = Annotated[str, typer.Argument(metavar="NAME", help="Name of a model folder.", autocompletion=model_names)]
FilePath = Annotated[str, typer.Argument(metavar="PATH", help="Of a file in the folder, such as weights/model.bin.")]

MODELS = (
    Column("NAME", lambda m: m.name),
    Column("STATUS", lambda m: m.status),
    Column("DEFINITION", lambda m: _definition(m)),
    Column("SERVICES", lambda m: ", ".join(m.services), folds=True),
    Column("CHANGED", lambda m: age(m.modified_at), right=True),
    Column("FOLDER", lambda m: f"{m.folder} (not used: {m.shadowed_by} is first)" if m.shadowed_by else m.folder),
)
FILES = (
    Column("SIZE", lambda f: size_text(f.size) if f.kind == "file" else "", right=True),
    Column("CHANGED", lambda f: when(f.modified_at)),
    Column("PATH", lambda f: f.path + {"folder": "/", "file": ""}.get(f.kind, f" ({f.kind})")),
)


def _definition(model: ModelView) -> str:
    if not model.definition:
        return "INVALID" if model.problems else "none"
    return "valid" if model.valid else "INVALID"


def models(common: Common, ctx: typer.Context) -> None:
    """List model folders; show, make, fill, edit and remove them, also from far away."""
    if ctx.invoked_subcommand is None:
        ls(common)


def ls(common: Common) -> None:
    """List model folders, with or without a definition.

    Examples:
      orchestrator models ls
    """
    found = ask(common, lambda client: client.models())
    if common.json:
        print_json([dump(one) for one in found])
    else:
        print_table(MODELS, found, nothing="no model folders: make one with `orchestrator models create NAME`")


def show(common: Common, name: ModelName) -> None:
    """Show one model folder: where it is, what is wrong with its definition, what is served from it.

    Examples:
      orchestrator models show my-model
    """
    model = ask(common, lambda client: client.model(name))
    if common.json:
        print_json(dump(model))
    else:
        _print(model)


def _print(model: ModelView) -> None:
    print_facts(
        {
            "name": model.name,
            "folder": model.folder,
            "definition": f"{model.definition or 'none'} ({_definition(model)})" if model.definition else "none yet",
            "services": ", ".join(model.services),
            "status": model.status if model.services or model.status != "none" else "",
            "changed": when(model.modified_at),
            "writable": "yes" if model.writable else "no",
        }
    )
    for problem in model.problems:
        print(clean(str(problem.problem())))


def create(common: Common, name: ModelName) -> None:
    """Make an empty model folder in the first models_dir of the daemon.

    Examples:
      orchestrator models create llama
      orchestrator models upload llama server.py model-definition.yml
    """
    model = ask(common, lambda client: client.create_model(name))
    if common.json:
        print_json(dump(model))
    else:
        print(clean(f"{model.name}: {model.folder}"))


def rm(
    common: Common,
    name: ModelName,
    path: Annotated[
        str | None, typer.Argument(metavar="PATH", help="A file or folder in it; default: the whole model folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also while services run from it; they end with it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a model folder with all that is in it, or one file or folder of it.

    A folder that is a link is removed itself; what it leads to stays.

    Examples:
      orchestrator models rm llama --force
      orchestrator models rm llama weights/old.bin
    """
    if not yes:
        confirm(f"Remove {path} of {name}?" if path else f"Remove the model folder {name} and all that is in it?")

    async def remove(client: Client) -> None:
        if path is None:
            await client.remove_model(name, force=force)
        else:
            await client.remove_model_file(name, path)

    ask(common, remove)
    shown = f"{name}/{path}" if path else name
    if common.json:
        print_json({"removed": shown})
    else:
        print(clean(f"{shown} is removed"))


def files(
    common: Common,
    name: ModelName,
    path: Annotated[str, typer.Argument(metavar="PATH", help="A folder in it; default: the model folder.")] = "",
) -> None:
    """List the files of a model folder, without hidden ones.

    Examples:
      orchestrator models files my-model
      orchestrator models files my-model weights
    """
    found = ask(common, lambda client: client.model_files(name, path.strip("/")))
    if common.json:
        print_json([dump(one) for one in found])
    else:
        print_table(FILES, found, nothing="no files")


def upload(
    common: Common,
    name: ModelName,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Files, or folders with all that is in them.")],
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="PATH", help="Where in the folder: a folder, or for one file its new path."),
    ] = None,
) -> None:
    """Send files into a model folder. An upload that was interrupted goes on where it was when it is asked for again.

    Nothing of a file is visible there before its last byte has arrived. Definitions are sent last, so that no service
    starts without what it needs. `--to weights/` with the slash is a folder, also for one file. Hidden files are left
    out. With -o json: an array of `path`, `size`.

    Examples:
      orchestrator models upload llama server.py model-definition.yml
      orchestrator models upload llama ~/checkpoints/llama-70b --to weights/
    """
    from orchestrator.cli.transferring import upload_all

    upload_all(common, name, files, to)


def download(
    common: Common,
    name: ModelName,
    path: FilePath,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Where to; - writes to standard output. Default: here."),
    ] = None,
) -> None:
    """Fetch a file of a model folder. One that was interrupted goes on where it was when it is asked for again.

    Examples:
      orchestrator models download llama logs/train.log
      orchestrator models download llama weights/model.bin -o /data/model.bin
    """
    from orchestrator.cli.transferring import download_one

    download_one(common, name, path, output if isinstance(output, Path) else None)


def edit(common: Common, name: ModelName) -> None:
    """Edit a definition with $VISUAL or $EDITOR. It is checked before it takes the place of the old one.

    What is wrong is shown with its place, and you may go on editing. What somebody else has changed meanwhile is not
    lost. Nothing is written where nothing was changed, or where you leave.

    Examples:
      orchestrator models edit llama
      EDITOR='sed -i s/0.5.3/0.5.4/' orchestrator models edit llama
    """
    from orchestrator.cli.editing import edit_definition

    raise typer.Exit(edit_definition(common, name))
