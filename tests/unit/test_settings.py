"""config.toml and its overrides: what is read, from where, and how everything that is wrong is said at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.core.errors import InvalidInput
from orchestrator.settings import GatewaySettings, Settings, address, load, shown

ROOT = Path(__file__).parents[2]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, so that the repository's own config.toml is not found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("orchestrator.settings.loading.SYSTEM_FILE", tmp_path / "etc.toml")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    file = folder / "config.toml"
    file.write_text(text)
    return file


def refusal(folder: Path, text: str, **environ: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        load(write(folder, text), environ)
    return caught.value.message


def keys(model: type[BaseModel], above: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, f"{above}{name}.")
        else:
            yield above + name


def test_uncommenting_all_of_config_toml_gives_exactly_the_defaults(elsewhere: Path) -> None:
    text = re.sub(r"(?m)^#(?=\S)", "", (ROOT / "config.toml").read_text())
    assert load(write(elsewhere, text), {}) == Settings()
    assert load(ROOT / "config.toml", {}) == Settings()


def test_config_toml_names_and_explains_every_key() -> None:
    lines = (ROOT / "config.toml").read_text().splitlines()
    section, found = "", set()
    for number, line in enumerate(lines):
        if header := re.fullmatch(r"#\[(.+)\]", line):
            section = header[1] + "."
        elif key := re.match(r"#(\w+) = ", line):
            found.add(section + key[1])
            assert lines[number - 1].startswith("# "), f"{line} has no explanation above it"
    expected = set(keys(Settings)) - {"folders", "resource_groups", "defaults"}
    assert found == expected | {"resource_groups.default.slots", "defaults.image"}


@pytest.mark.usefixtures("elsewhere")
def test_no_file_gives_the_defaults() -> None:
    assert load(environ={}) == Settings()


def test_files_are_looked_for_in_order(elsewhere: Path) -> None:
    (elsewhere / "other").mkdir()
    write(elsewhere, 'runtime = "process"')
    other = write(elsewhere / "other", 'runtime = "memory"')
    assert load(environ={}).runtime == "process"
    assert load(environ={"ORCHESTRATOR_CONFIG": str(other)}).runtime == "memory"
    assert load(elsewhere / "config.toml", {"ORCHESTRATOR_CONFIG": str(other)}).runtime == "process"


@pytest.mark.usefixtures("elsewhere")
def test_the_null_device_is_a_wish_for_no_file(elsewhere: Path) -> None:
    write(elsewhere, "not read")
    assert load(Path("/dev/null"), {}).origins.file == ""
    assert load(None, {"ORCHESTRATOR_CONFIG": "/dev/null"}) == Settings()


def test_a_named_file_must_exist() -> None:
    with pytest.raises(InvalidInput, match=r"cannot read .*nowhere.toml: No such file"):
        load(Path("nowhere.toml"), {})


def test_relative_paths_count_from_the_file_and_overrides_from_the_current_folder(elsewhere: Path) -> None:
    (elsewhere / "etc").mkdir()
    file = write(
        elsewhere / "etc", 'state_dir = "state"\nmodels_dirs = ["../models", "/srv/m"]\n[gateway]\nhaproxy = "h"'
    )
    settings = load(file, {"ORCHESTRATOR_DATA_DIRS": "data"})
    assert settings.state_dir == elsewhere / "etc" / "state"
    assert settings.models_dirs == (elsewhere / "models", Path("/srv/m"))
    assert settings.gateway.haproxy == str(elsewhere / "etc" / "h")
    assert settings.data_dirs == (elsewhere / "data",)


OVERRIDES: dict[str, tuple[str, Callable[[Any], object], object]] = {
    "ORCHESTRATOR_STATE_DIR": ("/s", lambda s: str(s.state_dir), "/s"),
    "ORCHESTRATOR_RUNTIME": ("auto", lambda s: s.runtime, "auto"),
    "ORCHESTRATOR_MODELS_DIRS": ("/a, /b", lambda s: s.models_dirs, (Path("/a"), Path("/b"))),
    "ORCHESTRATOR_DATA_DIRS": ('["/a,b"]', lambda s: s.data_dirs, (Path("/a,b"),)),
    "ORCHESTRATOR_GATEWAY__MANAGED": ("false", lambda s: s.gateway.managed, False),
    "ORCHESTRATOR_GATEWAY__CONNECT_TIMEOUT": ("2.5", lambda s: s.gateway.connect_timeout, 2.5),
    "ORCHESTRATOR_DOCKER__PULL": ("never", lambda s: s.docker.pull, "never"),
    "ORCHESTRATOR_DOCKER__IMAGE_ALIASES": ('{"a": "b"}', lambda s: dict(s.docker.image_aliases), {"a": "b"}),
    "ORCHESTRATOR_DEFAULTS__IMAGE": ("python:3.12", lambda s: s.defaults["image"], "python:3.12"),
    "ORCHESTRATOR_DEFAULTS__RETRY": ("false", lambda s: s.default_deployment.retry, False),
    "ORCHESTRATOR_APPLY": ("manual", lambda s: s.apply, "manual"),
    "ORCHESTRATOR_GATEWAY__HOLD_SECONDS": ("0.5", lambda s: s.gateway.hold_seconds, 0.5),
    "ORCHESTRATOR_GATEWAY__HOLD_REQUESTS": ("0", lambda s: s.gateway.hold_requests, 0),
    "ORCHESTRATOR_DEFAULTS__UPDATE": (
        '{strategy = "blue-green", max-surge = "50%"}',
        lambda s: (s.default_deployment.update.strategy, s.default_deployment.update.max_surge),
        ("blue_green", "50%"),
    ),
    "ORCHESTRATOR_FOLDERS__LLAMA__DEFINITION": ("d.yml", lambda s: s.folders["llama"].definition, "d.yml"),
    "ORCHESTRATOR_RESOURCE_GROUPS__BIG__SLOTS": (
        '{"mem": "1g"}',
        lambda s: s.resource_groups["big"].slots["mem"],
        1 << 30,
    ),
}


@pytest.mark.parametrize("name", OVERRIDES)
def test_the_environment_overrides_the_file(name: str, elsewhere: Path) -> None:
    text, look, expected = OVERRIDES[name]
    file = write(elsewhere, '[docker]\nimage_aliases = { c = "d" }\n[gateway]\nmanaged = true')
    assert look(load(file, {name: text})) == expected


@pytest.mark.usefixtures("elsewhere")
def test_variables_that_mean_something_else_are_not_settings() -> None:
    names = ("URL", "TOKEN", "SERVICE", "ROUTING")
    assert load(environ={f"ORCHESTRATOR_{name}": "x" for name in names} | {"ORCHESTRATE": "x"}) == Settings()


REFUSED = {
    "unknown key": ("\n\nstate_dri = 1", "config.toml:3: state_dri: unknown key (did you mean `state_dir`?)"),
    "unknown key of a section": ("[gateway]\nlisten_on = 1", "config.toml:2: gateway.listen_on: unknown key"),
    "unknown section": ("[gatway]\nx = 1", "config.toml:1: gatway: unknown key (did you mean `gateway`?)"),
    "key of a folder": ('[folders."a b"]\ndefinitoin = "x"', "(did you mean `definition`?)"),
    "wrong type": ("[api]\nlisten = 8090", "config.toml:2: api.listen: should be a valid string"),
    "not one of": ('runtime = "podman"', "config.toml:1: runtime: should be 'docker', 'process', 'memory' or 'auto'"),
    "no port": ('[api]\nlisten = "127.0.0.1"', "`127.0.0.1` is not an address such as 127.0.0.1:8080"),
    "port too large": ('[gateway]\nlisten = "0.0.0.0:65536"', "is not an address"),
    "no host": ('[gateway]\nlisten = ":80"', "is not an address"),
    "one port twice": ('[gateway]\nlisten = "0.0.0.0:8090"', "both ask for port 8090"),
    "public_url": ('[gateway]\npublic_url = "models.example.org"', "is not an address such as https://"),
    "timeout": ("[gateway]\nconnect_timeout = 0", "gateway.connect_timeout: should be greater than 0"),
    "no finite timeout": ("[gateway]\nidle_timeout = inf", "gateway.idle_timeout"),
    "twice": ('models_dirs = ["/m", "/m/"]', "models_dirs: /m is listed twice"),
    "nested": ('models_dirs = ["/m", "/m/sub"]', "lie inside each other"),
    "relative mount": ('[docker]\nallowed_mounts = ["data"]', "`data` is not an absolute path"),
    "size": ('[resource_groups.default]\nslots = { mem = "64 apples" }', "`mem`: `64 apples` is not a size"),
    "mem without unit": ("[resource_groups.default]\nslots = { mem = 64 }", "(give a unit: 64g)"),
    "half a device": ('[resource_groups.x]\nslots = { "cuda.device" = 0.5 }', "is not a whole number"),
    "shares": ('[resource_groups.x]\nslots = { "cuda.shares" = 2 }', "declare `cuda.device`"),
    "default of a name": ('[defaults]\nservice_name = "x"', "defaults.service_name: a name belongs to one service"),
    "unknown default": ("[defaults]\nreplics = 1", "config.toml:2: defaults.replics: unknown key"),
    "wrong default": ("[defaults]\nstop_grace = -1", "defaults.stop_grace"),
    "wrong policy": ("[defaults]\nupdate = {steps = [9, 5]}", "config.toml:2: defaults.update.steps[1]: 5 % does not"),
    "key of a policy": ("[defaults.update]\nmaxSurge = 1", "(did you mean `max_surge`?)"),
    "apply": ('apply = "never"', "config.toml:1: apply: should be 'auto' or 'manual'"),
    "hold for ever": ("[gateway]\nhold_seconds = 1e9", "gateway.hold_seconds: should be less than or equal to 3600"),
    "not a table": ("gateway = 1", "config.toml:1: gateway"),
    "not TOML": ("a = [", "not valid TOML"),
    "deep": ("a = " + "[" * 5000, "not valid TOML"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_said_with_its_place(case: str, elsewhere: Path) -> None:
    text, expected = REFUSED[case]
    assert expected in refusal(elsewhere, text)


def test_everything_wrong_is_said_at_once(elsewhere: Path) -> None:
    text = 'aply = "auto"\n[api]\nlisten = "x"\n[defaults]\nport = 1\n'
    message = refusal(elsewhere, text, ORCHESTRATOR_RUNTIM="docker", ORCHESTRATOR_LOG__LEVEL="loud")
    assert [line.strip().split(": ")[0].rsplit("/", 1)[-1] for line in message.splitlines()[1:]] == [
        "ORCHESTRATOR_RUNTIM",
        "config.toml:3",
        "ORCHESTRATOR_LOG__LEVEL",
        "config.toml:1",
        "config.toml:5",
    ]
    assert "(did you mean `ORCHESTRATOR_RUNTIME`?)" in message


def test_a_section_replaced_by_a_value_is_said(elsewhere: Path) -> None:
    assert "is not a table" in refusal(elsewhere, "store = 1", ORCHESTRATOR_STORE__URL="x")


def test_not_utf8(elsewhere: Path) -> None:
    (elsewhere / "config.toml").write_bytes(b'state_dir = "\xff"')
    with pytest.raises(InvalidInput, match="byte 13 is not UTF-8"):
        load(environ={})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:8080", ("::1", 8080)), ("my-host.local:1", ("my-host.local", 1))],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert address(text) == expected


@pytest.mark.parametrize(
    ("listen", "tls", "url"),
    [
        ("127.0.0.1:8080", "", "http://127.0.0.1:8080"),
        ("0.0.0.0:8080", "/a.pem", "https://127.0.0.1:8080"),
        ("[::]:8080", "", "http://[::1]:8080"),
        ("[fd00::1]:8080", "", "http://[fd00::1]:8080"),
        ("models.lan:80", "", "http://models.lan:80"),
    ],
)
def test_what_listens_is_reached_from_this_host(listen: str, tls: str, url: str) -> None:
    assert GatewaySettings(listen=listen, tls_certificate=tls).local_url == url


def test_each_key_is_shown_with_where_it_was_set(elsewhere: Path) -> None:
    text = '[metrics]\nroutings = true\n[api]\n[folders.a]\ndefinition = "b.yml"\n[defaults.environ]\nX = "1"\n'
    file = write(elsewhere, text)
    told = {one.key: one.set for one in shown(load(file, {"ORCHESTRATOR_LOG__LEVEL": "debug"}))}
    assert told["metrics.routings"] == f"{file}:2"
    assert told["folders.a.definition"] == f"{file}:5"
    assert told["defaults.environ"] == f"{file}:6"
    assert told["log.level"] == "ORCHESTRATOR_LOG__LEVEL"
    for key in ("metrics.gateway", "api.listen", "tracing.sample", "state_dir"):
        assert told[key] == "default", key
