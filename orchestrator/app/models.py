"""Model folders through the API: what is in them, and changes to them. What they come to is seen by the next look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from orchestrator.app.changes import ServiceChanges
from orchestrator.app.parts import Parts
from orchestrator.core import present
from orchestrator.core.errors import Conflict, InvalidInput
from orchestrator.core.file_names import checked_path, known_path
from orchestrator.core.masking import mask
from orchestrator.core.model_views import (
    PART,
    DefinitionRequest,
    DefinitionView,
    FileView,
    ModelStatus,
    ModelView,
    UploadView,
    ValidateRequest,
    ValidateView,
)
from orchestrator.core.resolved_view import resolved_view
from orchestrator.core.schema import definition_schema
from orchestrator.core.state import ServiceStatus
from orchestrator.core.status import service_status
from orchestrator.core.views import instant
from orchestrator.folders import Reading, Scanner, models, read_folder
from orchestrator.folders.files import shown
from orchestrator.folders.models import Found, Written
from orchestrator.folders.pinned import disk_errors, pinned
from orchestrator.folders.reading import Place, locate
from orchestrator.folders.uploads import Part, upload_of

WORST_FIRST = (
    ServiceStatus.UNHEALTHY,
    ServiceStatus.INVALID,
    ServiceStatus.DEGRADED,
    ServiceStatus.DESTROYING,
    ServiceStatus.PROVISIONING,
    ServiceStatus.STOPPED,
    ServiceStatus.HEALTHY,
)
Served = Mapping[str, Mapping[str, ServiceStatus]]
"""Folder to the names of its services, to what each is."""
ALONE = Path("model-definition.yml")
"""Stands for a definition that belongs to no folder yet."""


class ModelFolders(ServiceChanges):
    """The part of `api.control.Control` that looks after model folders."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._scanner = Scanner(parts.settings, parts.runtime.name)
        self._scanning = asyncio.Lock()

    async def models(self) -> Sequence[ModelView]:
        served = self._served()
        async with self._scanning:
            return await asyncio.to_thread(self._all, served)

    def _all(self, served: Served) -> list[ModelView]:
        settings, found = self._parts.settings, models.all_folders(self._parts.settings)
        readings = self._scanner.scan().readings
        return [_view(one, locate(one.path, settings), readings.get(shown(str(one.path))), served) for one in found]

    async def model(self, name: str) -> ModelView:
        return await asyncio.to_thread(self._one, name, self._served())

    def _one(self, name: str, served: Served) -> ModelView:
        place = models.find(name, self._parts.settings)
        reading = read_folder(place.listed, self._parts.settings, runtime=self._parts.runtime.name)
        return _view(Found(place.listed), place, reading, served)

    def _served(self) -> Served:
        of, served = self._facts.by_service(), dict[str, dict[str, ServiceStatus]]()
        for service in self._facts.services.values():
            served.setdefault(service.folder, {})[service.name] = service_status(service, of.get(service.id, ()))
        for broken in self._facts.broken:
            served.setdefault(broken.folder, {}).setdefault(broken.name, ServiceStatus.INVALID)
        return served

    async def create_model(self, name: str) -> ModelView:
        await asyncio.to_thread(models.make, name, self._parts.settings)
        return await self.model(name)

    async def remove_model(self, name: str, *, force: bool) -> None:
        """With `force` its services end with it, at once: that it is gone was wanted."""
        loop = self._parts.loop
        async with loop.lock:
            place = await self._place(name)
            ours = [s for s in self._facts.services.values() if s.folder == str(place.listed) and not s.removing]
            busy = [s.name for s in ours if self._facts.of(s.id)]
            if busy and not force:
                text = f"cannot remove the model folder {name}: {', '.join(sorted(busy))} runs from it"
                raise Conflict(text, hint="remove the service first, or use force", code="in_use")
            hidden = await asyncio.to_thread(models.take_away, place)
            for service in ours:
                await self._facts.put_service(replace(service, removing=True, held="", vanished_since=None))
                await self._tell("service.removing", service, "its model folder was removed by hand")
                await self._parts.tokens.revoke_all_of(service.name)
            for mark in [m for m in self._facts.removed if m.folder == str(place.listed)]:
                await self._facts.unmark_removed(mark.folder, mark.model)
        loop.rescan()
        loop.wake()
        if hidden is not None:
            await asyncio.to_thread(models.destroy, hidden)

    # --- files

    async def model_files(self, name: str, below: str) -> Sequence[FileView]:
        place, parts = await self._place(name), known_path(below, empty=True)
        return await asyncio.to_thread(models.files_in, place, parts)

    async def open_model_file(self, name: str, file: str) -> BinaryIO:
        place, parts = await self._place(name), known_path(file)
        return await asyncio.to_thread(models.open_file, place, parts)

    async def remove_model_file(self, name: str, file: str) -> None:
        place, parts = await self._place(name), known_path(file)
        await asyncio.to_thread(models.remove_file, place, parts)
        self._parts.loop.rescan()

    async def upload(self, name: str, file: str) -> UploadView:
        place, parts = await self._place(name), known_path(file)
        return await asyncio.to_thread(upload_of, place, parts)

    async def upload_part(
        self, name: str, file: str, chunks: AsyncIterator[bytes], *, offset: int, total: int, executable: bool
    ) -> UploadView:
        """What came before an error stays, to go on from."""
        place, parts = await self._place(name), checked_path(file)
        if offset > total:
            raise InvalidInput(f"cannot upload {file}: offset {offset} is beyond its {total} bytes")
        with ExitStack() as closing:

            def begin() -> Part:
                with disk_errors(f"upload {file}"):
                    folder = closing.enter_context(pinned(place))
                return closing.enter_context(Part(folder, parts, offset, total, executable=executable))

            part = await asyncio.to_thread(begin)
            async for chunk in chunks:
                if part.received + len(chunk) - offset > PART:
                    text = f"cannot upload {file}: a part has more than {PART >> 20} MiB"
                    raise InvalidInput(text, hint="send it in smaller parts", code="too_large")
                await asyncio.to_thread(part.write, chunk)
            done = await asyncio.to_thread(part.end)
        if done.done:
            self._parts.loop.rescan()
        return done

    # --- definitions

    async def definition(self, name: str) -> DefinitionView:
        place = await self._place(name)
        return await asyncio.to_thread(self._definition, place, None)

    async def write_definition(self, name: str, request: DefinitionRequest) -> DefinitionView:
        """Raises `InvalidDefinition`, with nothing written, or `Conflict` (changed)."""
        settings, runtime = self._parts.settings, self._parts.runtime.name
        async with self._parts.loop.lock:  # whoever else writes definitions holds it, too
            place = await self._place(name)
            written = await asyncio.to_thread(
                models.write_definition, place, request.text, request.digest, settings, runtime
            )
            view = await asyncio.to_thread(self._definition, place, written)
        self._parts.loop.rescan()
        return view

    def _definition(self, place: Place, written: Written | None) -> DefinitionView:
        settings, runtime = self._parts.settings, self._parts.runtime.name
        found = written or models.definition_of(place, settings)
        problems = models.read_text(place, found.file, found.data, settings, runtime).problems if found.digest else ()
        return DefinitionView(
            file=found.file,
            text=found.data.decode("utf-8", "backslashreplace"),
            digest=found.digest,
            problems=tuple(present.problem_view(p) for p in problems),
        )

    async def validate(self, request: ValidateRequest) -> ValidateView:
        place = await self._place(request.model) if request.model is not None else None
        reading = await asyncio.to_thread(self._read, place, request.text)
        own = self._parts.settings.default_deployment.environ or {}
        resolved = "\n".join(resolved_view(service) for service in reading.services)
        return ValidateView(
            valid=reading.valid,
            problems=tuple(present.problem_view(p) for p in reading.problems),
            resolved=mask(resolved, own.values()) if reading.valid else None,
        )

    def _read(self, place: Place | None, text: str) -> Reading:
        settings, runtime = self._parts.settings, self._parts.runtime.name
        data = text.encode("utf-8", "surrogatepass")  # what is no text is found to be none by who reads it
        if place is not None:
            return models.read_text(place, models.definition_of(place, settings).file, data, settings, runtime)
        folder = (settings.models_dirs or (settings.state_dir,))[0] / "model"
        return read_folder(folder, settings, runtime=runtime, file=ALONE, data=data)

    async def schema(self) -> Mapping[str, object]:
        return definition_schema()

    async def _place(self, name: str) -> Place:
        return await asyncio.to_thread(models.find, name, self._parts.settings)


def _view(found: Found, place: Place, reading: Reading | None, served: Served) -> ModelView:
    path = shown(str(found.path))
    mine = served.get(path, {})
    file = reading.file if reading is not None else None
    at = models.modified_at(found.path, file)
    return ModelView(
        name=shown(found.path.name),
        folder=path,
        definition=shown(file.name) if file is not None else "",
        valid=reading is not None and file is not None and reading.valid,
        problems=tuple(present.problem_view(p) for p in reading.problems) if reading is not None else (),
        services=tuple(sorted(mine)),
        status=worst(mine.values()),
        modified_at=instant(at) if at is not None else None,
        writable=models.is_writable(place),
        shadowed_by=found.shadowed_by,
    )


def worst(statuses: Iterable[ServiceStatus]) -> ModelStatus:
    """`none` of none."""
    return min(statuses, key=WORST_FIRST.index, default="none")
