"""The units as systemd itself judges them, and the files that they stand on, in a root of their own."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.gateway import process
from orchestrator.gateway.files import Files
from orchestrator.settings import Settings

PACKAGING = Path(__file__).resolve().parents[2] / "packaging" / "systemd"
UNITS = ("orchestrator.service", "orchestrator-gateway.service")
EXECUTABLES = ("opt/orchestrator/bin/orchestrator", "var/lib/orchestrator/gateway/bin/haproxy", "bin/kill", "bin/sh")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host on which everything is where the units say."""
    for executable in EXECUTABLES:
        file = tmp_path / executable
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("#!/bin/sh\n")
        file.chmod(0o755)
    shutil.copytree("/usr/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    for source, target in [
        *((unit, f"etc/systemd/system/{unit}") for unit in UNITS),
        ("sysusers.conf", "usr/lib/sysusers.d/orchestrator.conf"),
        ("tmpfiles.conf", "usr/lib/tmpfiles.d/orchestrator.conf"),
    ]:
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGING / source, tmp_path / target)
    return tmp_path


def run(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def settings_of(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", (PACKAGING / unit).read_text(), re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_nothing_wrong(root: Path, unit: str) -> None:
    done = run("systemd-analyze", "verify", f"--root={root}", "--man=no", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_what_is_wrong_would_be_found(root: Path) -> None:
    unit = root / "etc/systemd/system" / UNITS[0]
    unit.write_text(unit.read_text().replace("ProtectSystem=", "ProtectSystm="))
    assert (
        "Unknown key 'ProtectSystm'" in run("systemd-analyze", "verify", f"--root={root}", "--man=no", UNITS[0]).stderr
    )


@pytest.mark.parametrize("unit", UNITS)
def test_exposure_is_at_most_three(unit: str) -> None:
    done = run("systemd-analyze", "security", "--offline=true", "--threshold=30", PACKAGING / unit)
    assert done.returncode == 0, done.stdout[-300:]
    assert "Overall exposure level" in done.stdout


def test_neither_unit_takes_the_other_along() -> None:
    for unit in UNITS:
        bound = {"Requires", "BindsTo", "PartOf", "Requisite", "PropagatesStopTo", "Conflicts"} & set(settings_of(unit))
        assert not bound, f"{unit} is bound by {bound}"


def test_routings_outlive_the_daemon() -> None:
    """Each of these, set otherwise, ends or starves routings of the process runtime when the daemon goes."""
    told = settings_of("orchestrator.service")
    assert told["KillMode"] == ["process"]
    assert told["OOMPolicy"] == ["continue"]
    assert told["TasksMax"] == ["infinity"]
    assert not {"PrivateTmp", "RemoveIPC", "DynamicUser", "MemoryMax", "RuntimeMaxSec"} & set(told)


@pytest.mark.parametrize("missing", ["", "bin/haproxy", "haproxy.cfg"])
def test_the_gateway_is_prepared_where_it_lacks_something_and_else_starts_at_once(root: Path, missing: str) -> None:
    """Whoever is refused while HAProxy is started anew must not wait for Python too."""
    gateway = root / "var/lib/orchestrator/gateway"
    (gateway / "haproxy.cfg").write_text("global\n")
    if missing:
        (gateway / missing).unlink()
    (root / "opt/orchestrator/bin/orchestrator").write_text('#!/bin/sh\necho "$@"\n')
    (line,) = settings_of("orchestrator-gateway.service")["ExecStartPre"]
    shell, option, script = shlex.split(line.removeprefix("-"))
    assert (shell, option) == ("/bin/sh", "-c")
    done = run(shell, option, script.replace(" /opt/", f" {root}/opt/").replace(" /var/", f" {root}/var/"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("gateway-config --config /etc/orchestrator/config.toml\n" if missing else "")


def test_the_gateway_sees_its_own_folder_only() -> None:
    """systemd drops TemporaryFileSystem= without a word where StateDirectory= names the same path."""
    told = settings_of("orchestrator-gateway.service")
    assert told["StateDirectory"] == ["orchestrator/gateway"]
    assert told["TemporaryFileSystem"] == ["/var/lib/orchestrator:ro"]
    assert told["BindPaths"] == ["/var/lib/orchestrator/gateway"]
    assert not {"SupplementaryGroups", "ReadWritePaths"} & set(told)


def test_the_paths_are_those_of_the_default_configuration() -> None:
    state = str(Settings().state_dir)
    for unit in UNITS:
        told = settings_of(unit)
        assert told["StateDirectory"][0].split("/")[0] == Path(state).name
        (command,) = told["ExecStart"]
        folder = Path(state, "gateway")
        gateway = shlex.join(process.command(folder / "bin/haproxy", Files(folder, folder)))
        assert command == gateway or command.startswith("/opt/orchestrator/bin/orchestrator serve ")
    assert settings_of("orchestrator.service")["Environment"] == ["ORCHESTRATOR_GATEWAY__MANAGED=false"]
    assert settings_of("orchestrator.service")["ReadWritePaths"] == [f"-{path}" for path in Settings().models_dirs]


def test_user_and_folders_are_made(root: Path) -> None:
    users = run("systemd-sysusers", f"--root={root}")
    assert users.returncode == 0, users.stderr
    folders = run(
        "systemd-tmpfiles", f"--root={root}", "--create", "--prefix=/etc/orchestrator", "--prefix=/var", "--prefix=/srv"
    )
    assert folders.returncode == 0, folders.stderr

    name, _, uid, gid, _, home, shell = (root / "etc/passwd").read_text().splitlines()[0].split(":")
    assert (name, home, shell) == ("orchestrator", "/var/lib/orchestrator", "/usr/sbin/nologin")
    groups = {line.split(":")[0]: line.split(":")[3] for line in (root / "etc/group").read_text().splitlines()}
    assert groups == {"docker": "", "orchestrator": ""}, "the gateway's user must not be in the engine's group"
    for folder, mode, owner in [
        ("etc/orchestrator", 0o750, 0),
        ("var/lib/orchestrator", 0o750, int(uid)),
        ("var/lib/orchestrator/gateway", 0o750, int(uid)),
        ("var/lib/orchestrator/secrets", 0o700, int(uid)),
        ("srv/models", 0o775, int(uid)),
    ]:
        found = (root / folder).stat()
        assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (mode, owner, int(gid)), folder
