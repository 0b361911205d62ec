"""Model folders on a real disk, hostile and changing under the reader's hands: nothing raises, nothing leads out."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.core.definition import Deployment
from orchestrator.folders import Reading, Scanner, read_folder, scan
from orchestrator.folders.launched import misnamed, read_launched
from orchestrator.settings import DockerSettings, FolderSettings, Settings

SPEEDS = 3.0
"""Seconds for 1,000 folders read anew, with room for a busy machine; 0.4 were measured."""


def text(name: str, **deployment: object) -> str:
    keys = "".join(f"\n      {key}: {value}" for key, value in {"image": "img", **deployment}.items())
    return f"models:\n  - name: {name}\n    service: {{port: 8000}}\n    deployment:{keys}\n"


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path


@pytest.fixture
def settings(disk: Path) -> Settings:
    return Settings(models_dirs=(disk / "models",), state_dir=disk / "state")


def add(disk: Path, name: str, content: str | bytes, file: str = "model-definition.yml") -> Path:
    folder = disk / "models" / name
    folder.mkdir(exist_ok=True)
    (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def age(*files: Path) -> None:
    """Make them old enough for their times to prove something."""
    for file in files:
        os.utime(file, (time.time() - 60, time.time() - 60))


def errors(reading: Reading) -> str:
    return "\n".join(str(p) for p in reading.problems if p.severity == "error")


# --- one folder -----------------------------------------------------------------------------------------------------


def test_a_model_folder(disk: Path, settings: Settings) -> None:
    folder = add(disk, "m", text("m"))
    reading = read_folder(folder, settings)
    assert (reading.folder, reading.file) == (str(folder), folder / "model-definition.yml")
    assert [s.name for s in reading.services] == ["m"]
    assert reading.services[0].routing.model_folder == str(folder)
    assert reading.valid
    assert reading.digest


def test_a_folder_without_a_definition_is_none(disk: Path, settings: Settings) -> None:
    folder = add(disk, "m", "x", "readme.txt")
    assert (read_folder(folder, settings).file, scan(settings, "docker").readings) == (None, {})


def test_the_first_of_both_names_wins_with_a_warning(disk: Path, settings: Settings) -> None:
    add(disk, "m", text("second"))
    reading = read_folder(add(disk, "m", text("first"), "model-definition.yaml"), settings)
    assert [s.name for s in reading.services] == ["first"]
    assert [(p.severity, "model-definition.yml is here too" in p.message) for p in reading.problems] == [
        ("warning", True)
    ]


def test_the_definition_may_have_another_name(disk: Path, settings: Settings) -> None:
    folder = add(disk, "m", text("own"), "own.yml")
    named = settings.model_copy(update={"folders": {"m": FolderSettings(definition="own.yml")}})
    assert [s.name for s in read_folder(folder, named).services] == ["own"]
    assert [s.name for s in read_folder(folder, settings, definition="own.yml").services] == ["own"]
    assert "there is no file other.yml" in errors(read_folder(folder, settings, definition="other.yml"))


@pytest.mark.parametrize("name", ["../own.yml", "/etc/passwd", "sub/../../own.yml", "a\0b"])
def test_the_definition_cannot_be_elsewhere(name: str, disk: Path, settings: Settings) -> None:
    (disk / "models" / "own.yml").write_text(text("own"))
    reading = read_folder(add(disk, "m", text("m")), settings, definition=name)
    assert "leads out of the folder" in errors(reading)
    assert reading.services == ()


def test_an_invalid_definition_has_a_name_and_no_services(disk: Path, settings: Settings) -> None:
    reading = read_folder(add(disk, "my model", "models: ["), settings)
    assert (reading.services, reading.names, reading.valid) == ((), ("my-model",), False)
    half = text("good") + text("bad", image="'two words'").removeprefix("models:\n")
    assert read_folder(add(disk, "half", half), settings).services == ()


def test_text_in_place_of_a_file(disk: Path, settings: Settings) -> None:
    folder = add(disk, "m", text("disk"))
    add(disk, "m", "stop_grace: 7", "deployment-config.yaml")
    for file in (None, Path("<stdin>")):
        stdin = read_folder(folder, settings, data=text("typed").encode(), file=file)
        assert [(s.name, s.stop_grace) for s in stdin.services] == [("typed", 30)]
    assert read_folder(folder, settings, data=b"models: []").problems[0].file == "<stdin>"
    edited = read_folder(folder, settings, data=text("edited").encode(), file=folder / "model-definition.yml")
    assert [(s.name, s.stop_grace) for s in edited.services] == [("edited", 7)]


def test_one_file_by_name(disk: Path, settings: Settings) -> None:
    file = disk / "any.yml"
    file.write_text(text("any"))
    assert [s.name for s in read_folder(disk, settings, file=file).services] == ["any"]
    assert "no such file" in errors(read_folder(disk, settings, file=disk / "none.yml"))
    assert "Is a directory" in errors(read_folder(disk, settings, file=disk / "models")) or "regular file" in errors(
        read_folder(disk, settings, file=disk / "models")
    )


def test_launch_is_laid_over_the_definition(disk: Path, settings: Settings) -> None:
    launch = Deployment(service_name="mine", desired_routing_count=2)
    (service,) = read_folder(add(disk, "m", text("m")), settings, launch=launch).services
    assert (service.name, service.desired, service.model_name) == ("mine", 2, "m")


# --- side files -----------------------------------------------------------------------------------------------------

TOML = '[custom.environment]\nimage = "side"\narchitecture = "x86_64"\n[custom.resource_slots]\ncpu = 1\nmem = "8g"\n'


@pytest.mark.parametrize("definition", ["secret", "models/a/model-definition.yml", "../secret.yml", "/etc/passwd"])
def test_who_names_a_folder_gets_none_that_nobody_made_one(definition: str, disk: Path, settings: Settings) -> None:
    """Its folder would be mounted, and its text be told in errors, to whoever may ask the API."""
    add(disk, "a", text("a"))
    (disk / "secret").write_text("root:hash:1: x\n")
    reading = read_launched(disk, {"definition": definition}, settings, "docker")
    assert (reading.services, reading.texts) == ((), {})
    assert "hash" not in errors(reading)


def test_nobody_leaves_the_models_by_a_link_that_a_routing_made(disk: Path, settings: Settings) -> None:
    """A container may write to its model folder: `a/out/..` reads like `a` and is the parent of what `out` leads to;
    `a/below` is a folder when it is looked at, and a link to `/` when it is mounted."""
    model, outside = add(disk, "a", text("a")), disk / "host" / "etc"
    outside.mkdir(parents=True)
    (disk / "host" / "secret").write_text("root:hash:1: x\n")
    (model / "out").symlink_to(outside)
    (model / "below").mkdir()
    (model / "below" / "model-definition.yml").write_text(text("below"))
    for folder, launch in (
        (model / "out" / "..", {"definition": "secret"}),
        (model / "out" / ".." / ".." / "models" / "a", {}),
        (model / "below", {}),
        (model / "out" / ".." / ".." / "models" / "a" / "below", {}),
    ):
        reading = read_launched(folder, launch, settings, "docker")
        assert (reading.services, reading.texts) == ((), {})
        assert "hash" not in errors(reading)
    why = misnamed(model / "out" / "..", "", settings, file=model / "out" / ".." / "secret")
    assert "`..`" in why


def test_who_names_a_folder_gets_one_that_is_ready(disk: Path, settings: Settings) -> None:
    inside, outside = add(disk, "a", text("a"), "own.txt"), add(disk, "b", text("b"), "own.yml").rename(disk / "b")
    for folder, definition in ((inside, "own.txt"), (outside, "own.yml")):
        assert read_launched(folder, {"definition": definition}, settings, "docker").valid
    (inside / "below").mkdir()
    (inside / "below" / "own").write_text(text("a"))
    assert read_launched(inside, {"definition": "below/own"}, settings, "docker").valid


def test_side_files_are_a_lower_layer(disk: Path, settings: Settings) -> None:
    folder = add(disk, "m", "models: [{name: m, service: {port: 1}, deployment: {resources: {cpu: 2}}}]")
    add(disk, "m", TOML, "service-definition.toml")
    (service,) = read_folder(folder, settings).services
    assert (service.routing.image, service.routing.resources) == ("side", {"cpu": 2, "mem": 8 << 30})
    add(disk, "m", "image: yaml", "deployment-config.yaml")
    both = read_folder(folder, settings)
    assert both.services[0].routing.image == "yaml"
    assert [p.severity for p in both.problems] == ["warning"]


def test_a_wrong_side_file_is_an_error_of_its_own_file(disk: Path, settings: Settings) -> None:
    folder = add(disk, "m", text("m"))
    for content in (b"x = [", b"\xff", b"imgae = 'x'"):
        add(disk, "m", content, "service-definition.toml")
        reading = read_folder(folder, settings)
        assert str(folder / "service-definition.toml") in errors(reading)
        assert reading.services == ()


def test_the_digest_covers_the_side_files(disk: Path, settings: Settings) -> None:
    folder = add(disk, "m", text("m"))
    alone = read_folder(folder, settings).digest
    add(disk, "m", "stop_grace: 7", "deployment-config.yaml")
    with_side = read_folder(folder, settings).digest
    add(disk, "m", "stop_grace: 8", "deployment-config.yaml")
    assert len({alone, with_side, read_folder(folder, settings).digest}) == 3


# --- links ----------------------------------------------------------------------------------------------------------


def secret(disk: Path) -> Path:
    (disk / "secret").mkdir()
    (disk / "secret" / "model-definition.yml").write_text(text("stolen"))
    return disk / "secret"


def test_a_definition_that_links_out_is_not_read(disk: Path, settings: Settings) -> None:
    folder = disk / "models" / "m"
    folder.mkdir()
    (folder / "model-definition.yml").symlink_to(secret(disk) / "model-definition.yml")
    reading = read_folder(folder, settings)
    assert "leads out of" in errors(reading)
    assert (reading.loaded, reading.services) == (None, ())


def test_a_definition_may_link_within_its_models_dir(disk: Path, settings: Settings) -> None:
    add(disk, "shared", text("shared"), "base.yml")
    folder = disk / "models" / "m"
    folder.mkdir()
    (folder / "model-definition.yml").symlink_to("../shared/base.yml")
    assert [s.name for s in read_folder(folder, settings).services] == ["shared"]


def test_a_model_folder_that_links_out_is_refused_unless_opened(disk: Path, settings: Settings) -> None:
    outside = secret(disk)
    link = disk / "models" / "m"
    link.symlink_to(outside)
    for reading in (read_folder(link, settings), scan(settings, "docker").readings[str(link)]):
        assert "it is a link that leads out of" in errors(reading)
        assert "docker.allowed_mounts" in errors(reading)
        assert reading.services == ()
    opened = settings.model_copy(update={"docker": DockerSettings(allowed_mounts=(str(outside.parent),))})
    assert read_folder(link, opened).services[0].routing.model_folder == str(outside)


def test_links_to_the_models_dir_itself_and_to_itself(disk: Path, settings: Settings) -> None:
    add(disk, "m", text("m"))
    (disk / "models" / "model-definition.yml").write_text(text("all"))
    (disk / "models" / "all").symlink_to(".")
    (disk / "models" / "loop").symlink_to("loop")
    (disk / "models" / "gone").symlink_to("nowhere")
    (disk / "models" / "notes").symlink_to(disk)
    found = scan(settings, "docker")
    assert {Path(f).name: r.valid for f, r in found.readings.items()} == {
        "all": False,
        "gone": False,
        "loop": False,
        "m": True,
    }
    assert found.unreadable == {}


# --- what is no file ------------------------------------------------------------------------------------------------


def pipe(path: Path) -> None:
    os.mkfifo(path)


def itself(path: Path) -> None:
    path.symlink_to(path.name)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize("make", [pipe, Path.mkdir, itself, device, large])
@pytest.mark.parametrize("name", ["model-definition.yml", "deployment-config.yaml"])
@pytest.mark.timeout(10)
def test_what_cannot_be_a_definition(make: Callable[[Path], None], name: str, disk: Path, settings: Settings) -> None:
    folder = add(disk, "m", text("m"))
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    reading = read_folder(folder, settings)
    assert str(folder / name) in errors(reading)
    assert reading.services == ()


def test_names_that_cannot_be_shown(disk: Path, settings: Settings) -> None:
    for name in (b"line\nbreak", b"not\xffutf8", b"esc\x1b[31m"):
        os.mkdir(os.fsencode(disk / "models") + b"/" + name)  # noqa: PTH102
        with open(os.fsencode(disk / "models") + b"/" + name + b"/model-definition.yml", "w") as file:
            file.write(text("m"))
    found = scan(settings, "docker")
    assert len(found.readings) == 3
    for folder, reading in found.readings.items():
        assert "rename it" in errors(reading)
        (folder + errors(reading) + reading.names[0]).encode()


def test_names_that_are_no_text_can_be_stored_and_answered(disk: Path, settings: Settings) -> None:
    """Wherever they come in: a folder that links to one, out of models_dirs or not, and the name of a data folder."""
    settings = settings.model_copy(update={"data_dirs": (disk / "data",)})
    for name in ("models/.in\udcff", "out\udcff", "data/corpus\udcff"):
        (disk / name).mkdir(parents=True)
        (disk / name / "model-definition.yml").write_text(text("m"))
    (disk / "models" / "in").symlink_to(disk / "models/.in\udcff")
    (disk / "models" / "out").symlink_to(disk / "out\udcff")
    add(disk, "data", text("data", extra_mounts="[{source: corpus}]"))
    found = scan(settings, "docker")
    assert {Path(folder).name for folder in found.readings} == {"in", "out", "data"}
    for reading in found.readings.values():
        assert "\\udcff" in errors(reading) or "not UTF-8" in errors(reading)
        repr((reading.folder, reading.services, [str(p) for p in reading.problems])).encode()
        assert reading.services == ()


# --- all folders ----------------------------------------------------------------------------------------------------


def test_hidden_folders_files_and_deeper_ones_are_not_looked_at(disk: Path, settings: Settings) -> None:
    for name in (".git", "lost+found", "m"):
        add(disk, name, text("m"))
    (disk / "models" / "m" / "sub").mkdir()
    (disk / "models" / "m" / "sub" / "model-definition.yml").write_text(text("sub"))
    (disk / "models" / "file").write_text("x")
    assert list(scan(settings, "docker").readings) == [str(disk / "models" / "m")]


def test_a_models_dir_that_is_gone_is_told_apart_from_an_empty_one(disk: Path) -> None:
    add(disk, "m", text("m"))
    (disk / "empty").mkdir()
    (disk / "file").write_text("x")
    dirs = (disk / "models", disk / "gone", disk / "empty", disk / "file")
    found = scan(Settings(models_dirs=dirs), "docker")
    assert len(found.readings) == 1
    assert found.unreadable == {str(disk / "gone"): "No such file or directory", str(disk / "file"): "Not a directory"}


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder to which anybody may go, while this process is nobody where it was root, who may read everything."""
    base = Path(tempfile.mkdtemp())
    base.chmod(0o777)
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    yield base
    os.seteuid(was)
    for path in base.rglob("*"):
        path.chmod(0o700)
    shutil.rmtree(base)


def test_what_may_not_be_read(unprivileged: Path) -> None:
    for name in ("models", "closed"):
        (unprivileged / name).mkdir()
    folder, file = add(unprivileged, "folder", text("a")), add(unprivileged, "file", text("b"))
    folder.chmod(0)
    (file / "model-definition.yml").chmod(0)
    (unprivileged / "closed").chmod(0)
    dirs = (unprivileged / "models", unprivileged / "closed")
    found = scan(Settings(models_dirs=dirs), "docker")
    assert found.unreadable == {str(unprivileged / "closed"): "Permission denied"}
    assert {Path(f).name for f in found.readings} == {"folder", "file"}
    assert all("Permission denied" in errors(r) for r in found.readings.values())


def test_only_what_changed_is_read_again(disk: Path, settings: Settings) -> None:
    old, new = add(disk, "old", text("old")), add(disk, "new", text("new"))
    age(old / "model-definition.yml", new / "model-definition.yml")
    scanner = Scanner(settings, "docker")
    # a change of ctime needs time to pass before it proves anything
    deadline = time.monotonic() + 10
    before = scanner.scan()
    while scanner.scan().readings[str(old)].loaded is not before.readings[str(old)].loaded:
        assert time.monotonic() < deadline
        before = scanner.scan()
    add(disk, "new", text("changed"))
    (disk / "models" / "later").mkdir()
    after = scanner.scan()
    assert after.readings[str(old)].loaded is before.readings[str(old)].loaded
    assert [s.name for s in after.readings[str(new)].services] == ["changed"]
    add(disk, "later", text("later"))
    add(disk, "old", "stop_grace: 7", "deployment-config.yaml")
    (new / "model-definition.yml").unlink()
    last = scanner.scan()
    assert {Path(f).name for f in last.readings} == {"old", "later"}
    assert last.readings[str(old)].services[0].stop_grace == 7


def test_a_change_that_leaves_size_and_time_alone_is_seen(disk: Path, settings: Settings) -> None:
    folder = add(disk, "m", text("aaaa"))
    file = folder / "model-definition.yml"
    age(file)
    scanner = Scanner(settings, "docker")
    scanner.scan()
    times = file.stat()
    file.write_text(text("bbbb"))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert [s.name for s in scanner.scan().readings[str(folder)].services] == ["bbbb"]


def test_a_thousand_folders(disk: Path, settings: Settings) -> None:
    for number in range(1000):
        add(disk, f"m{number}", text(f"m{number}"))
    began = time.monotonic()
    found = scan(settings, "docker")
    assert len(found.readings) == 1000
    assert all(r.valid for r in found.readings.values())
    assert time.monotonic() - began < SPEEDS


# --- extra mounts ---------------------------------------------------------------------------------------------------


@pytest.fixture
def mounting(disk: Path) -> Callable[..., str]:
    """A function that asks for one extra mount and gives its host path, or why it is refused."""
    for folder in ("data/corpus", "data2/corpus2", "host/shared", "other", "state/secrets"):
        (disk / folder).mkdir(parents=True)
    add(disk, "victim", text("victim"))
    settings = Settings(
        models_dirs=(disk / "models",),
        data_dirs=(disk / "data", disk / "data2"),
        state_dir=disk / "state",
        docker=DockerSettings(allowed_mounts=(str(disk / "host"), str(disk / "state"), str(disk / "models"))),
    )

    def mount(source: str) -> str:
        content = text("m", extra_mounts=f"[{{source: '{source}', target: /x}}]")
        reading = read_folder(add(disk, "m", content), settings)
        return reading.services[0].routing.mounts[0].source if reading.services else errors(reading)

    return mount


def test_mounts_by_name_and_by_allowed_path(disk: Path, mounting: Callable[..., str]) -> None:
    assert mounting("corpus") == str(disk / "data/corpus")
    assert mounting("corpus2") == str(disk / "data2/corpus2")
    assert mounting(f"{disk}/host/shared") == str(disk / "host/shared")
    (disk / "data/link").symlink_to(disk / "data/corpus")
    assert mounting("link") == str(disk / "data/corpus")


def test_mounts_that_are_refused(disk: Path, mounting: Callable[..., str]) -> None:
    (disk / "data/out").symlink_to(disk / "other")
    (disk / "data/root").symlink_to("/")
    (disk / "data/loop").symlink_to("loop")
    (disk / "data/model").symlink_to(disk / "models/victim")
    (disk / "host/out").symlink_to(disk / "other")
    (disk / "host/root").symlink_to("/")
    refused = {
        "corpsu": "did you mean `corpus`?",
        "victim": "victim is a model folder",
        "out": "docker.allowed_mounts",
        "root": "docker.allowed_mounts",
        "loop": "no folder loop",
        "model": "is or holds a model folder",
        f"{disk}/other": "docker.allowed_mounts",
        f"{disk}/host/out": "docker.allowed_mounts",
        f"{disk}/host/root/etc": "docker.allowed_mounts",
        f"{disk}/host/none": "does not exist",
        f"{disk}/models/victim": "is or holds a model folder",
        f"{disk}/models": "is or holds a model folder",
        f"{disk}/state/secrets": "orchestrator's own state",
        f"{disk}/state": "orchestrator's own state",
        "/": "docker.allowed_mounts",
    }
    for source, expected in refused.items():
        assert expected in mounting(source), source


@pytest.mark.parametrize("source", ["..", ".", "../models", "/host/../etc", "a/b", ""])
def test_sources_that_climb(source: str, mounting: Callable[..., str]) -> None:
    assert "extra_mounts[0].source" in mounting(source)
