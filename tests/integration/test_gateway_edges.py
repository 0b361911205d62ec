"""What a model server and a client see of the gateway, and what the gateway does when its surroundings fail."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import stat
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from gateway_box import WEBSOCKET, Box, Client, box, echo_websocket, model_servers, reply, route, until

from orchestrator.core.errors import Unavailable
from orchestrator.core.routes import Route, RouteTable
from orchestrator.gateway import HAProxyGateway, command, write_initial
from orchestrator.records import Recorder
from orchestrator.settings import AccessLogSettings, GatewaySettings


@pytest.fixture
async def real(tmp_path: Path, free_port: Callable[[], int]) -> AsyncIterator[Box]:
    async with box(tmp_path, free_port()) as made:
        yield made


SEEN = [
    ("/inference/Echo", "/"),
    ("/inference/Echo/", "/"),
    ("/inference/Echo?q=1&r=%20", "/?q=1&r=%20"),
    ("/inference/echo/v1/models?x", "/v1/models?x"),
    ("/inference/echo/a%2Fb//c/../d;e=f", "/a%2Fb//c/../d;e=f"),
    ("/inference/echo//x", "//x"),
    ("/inference/echo/inference/echo/x", "/inference/echo/x"),
]


async def test_the_prefix_is_stripped(real: Box) -> None:
    async with model_servers("r1") as (server,), real.client() as client:
        await real.serve(route("Echo", server))
        for asked, seen in SEEN:
            for method in ("GET", "POST", "DELETE", "PATCH", "PROPFIND"):
                answer = await real.ask(asked, real.bearer(), method=method)
                assert (answer.json["path"], answer.json["method"]) == (seen, method)
                assert answer.json["headers"]["x-forwarded-prefix"] == asked.partition("?")[0][:15]
        assert client.closing is False


async def test_what_the_model_server_is_told(real: Box) -> None:
    async with model_servers("r1") as (server,):
        await real.serve(route("echo", server), route("public", server, open_to_public=True))
        sent = {"X-Request-ID": "my-id.1", "X-Forwarded-Prefix": "/evil", "X-Forwarded-For": "6.6.6.6"}
        answer = await real.ask("/inference/echo/", {**real.bearer(), **sent})
        seen = answer.json["headers"]
        assert "authorization" not in seen
        assert (seen["x-request-id"], answer["x-request-id"]) == ("my-id.1", "my-id.1")
        assert (seen["x-forwarded-host"], seen["x-forwarded-proto"]) == ("gateway.test", "http")
        assert seen["x-forwarded-prefix"] == "/inference/echo"
        assert seen["host"] == "gateway.test"
        for ugly in ('a"b', "x" * 129, "a b", "ü"):
            answer = await real.ask("/inference/echo/", {**real.bearer(), "X-Request-ID": ugly})
            assert len(answer["x-request-id"]) == 36
            assert answer.json["headers"]["x-request-id"] == answer["x-request-id"]
        assert (await real.ask("/nothing", {"X-Request-ID": "mine"})).json["error"]["request_id"] == "mine"
        foreign = await real.ask("/inference/public/", {"Authorization": "Basic dXNlcjpwYXNz"})
        assert foreign.json["headers"]["authorization"] == "Basic dXNlcjpwYXNz"
        ours = await real.ask("/inference/public/", real.bearer())
        assert "authorization" not in ours.json["headers"]
        preflight = {"Access-Control-Request-Method": "POST", "Authorization": "Bearer x.y.z"}
        passed = await real.ask("/inference/echo/", preflight, method="OPTIONS")
        assert "authorization" not in passed.json["headers"]


ANSWERS = [
    ("Location: /login", "location", "/inference/Echo/login"),
    ("Location: /", "location", "/inference/Echo/"),
    ("Location: next", "location", "next"),
    ("Location: //cdn.test/x", "location", "//cdn.test/x"),
    ("Location: https://other.test/x", "location", "https://other.test/x"),
    ("Location: http://gateway.test/x/?y", "location", "http://gateway.test/inference/Echo/x/?y"),
    ("Location: http://gateway.test", "location", "http://gateway.test/inference/Echo"),
    ("Location: /inference/Echo/login", "location", "/inference/Echo/login"),
    ("Set-Cookie: a=b", "set-cookie", "a=b"),
    ("Set-Cookie: a=b; Path=/", "set-cookie", "a=b; Path=/inference/Echo"),
    ("Set-Cookie: a=b; path=/ui; HttpOnly", "set-cookie", "a=b; path=/inference/Echo/ui; HttpOnly"),
    ("Set-Cookie: a=b; Secure;Path=/; Max-Age=3", "set-cookie", "a=b; Secure;Path=/inference/Echo; Max-Age=3"),
    ("Set-Cookie: a=b; Path=/inference/Echo/ui", "set-cookie", "a=b; Path=/inference/Echo/ui"),
]


async def test_answers_are_given_the_prefix_back(real: Box) -> None:
    header = ""

    async def answer_with(_head: str, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await reply(writer, headers=header + "\r\n")
        return True

    async with model_servers("r1", behave=answer_with) as (server,):
        await real.serve(route("echo", server), route("own", server, host="own.test"))
        for header, name, wanted in ANSWERS:
            assert (await real.ask("/inference/Echo/x", real.bearer()))[name] == wanted, header
            own = await real.ask("/x", {**real.bearer(), "Host": "own.test"})
            assert own[name] == header.split(": ", 1)[1], header
        header = "Set-Cookie: a=1; Path=/a\r\nSet-Cookie: b=2; Path=/b"
        cookies = (await real.ask("/inference/echo/", real.bearer())).all("set-cookie")
        assert cookies == ["a=1; Path=/inference/echo/a", "b=2; Path=/inference/echo/b"]


async def test_a_port_of_its_own_has_no_prefix(real: Box, free_port: Callable[[], int]) -> None:
    port = free_port()
    async with model_servers("r1") as (server,):
        assert await real.serve(route("echo", server, port=port))
        async with Client(port) as client:
            answer = await client.ask("/inference/echo/x", real.bearer())
            assert answer.json["path"] == "/inference/echo/x"
            assert "x-forwarded-prefix" not in answer.json["headers"]
            assert (await client.ask("/")).code == "token_missing"
            assert await real.serve(route("echo", server))
            assert (await client.ask("/", real.bearer())).code == "service_unknown"
        await until(lambda: not _listens(port))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_a_taken_port_is_one_services_problem(real: Box) -> None:
    async with model_servers("r1", "holder") as (server, holder):
        table = RouteTable((route("echo", server), route("greedy", server, port=holder.port)))
        for _ in range(2):
            published = await real.gateway.publish(table)
            assert set(published.problems) == {"greedy"}
            assert f"process {psutil.Process().pid} (" in published.problems["greedy"]
            assert (await real.ask("/inference/greedy/", real.bearer())).status == 200
        same = RouteTable((route("echo", server), route("greedy", server, port=real.port)))
        assert "the gateway has it" in (await real.gateway.publish(same)).problems["greedy"]
        await holder.stop()
        assert not (await real.gateway.publish(table)).problems
        assert _listens(holder.port)


@pytest.mark.parametrize("name", ["127.0.0.1", "LOCALHOST", "models.example.org", socket.gethostname(), "10.1"])
async def test_no_service_gets_the_gateways_own_name(tmp_path: Path, name: str, free_port: Callable[[], int]) -> None:
    """It would be given the requests for all others, their bodies included."""
    async with (
        box(tmp_path, free_port(), public_url="https://Models.example.org/base") as real,
        model_servers("r1", "r2") as (server, greedy),
    ):
        table = RouteTable((route("echo", server), route("greedy", greedy, host=name, open_to_public=True)))
        assert set((await real.gateway.publish(table)).problems) == {"greedy"}
        answer = await real.ask("/inference/echo/", {**real.bearer(), "Host": name})
        assert answer.json["server"] == "r1"


async def test_a_port_taken_while_it_was_down_keeps_nobody_from_starting(
    real: Box, free_port: Callable[[], int]
) -> None:
    port = free_port()
    async with model_servers("r1") as (server,):
        await real.serve(route("echo", server, port=port))
        await real.gateway.stop()
        with socket.create_server(("127.0.0.1", port)):
            await real.gateway.start()
            assert (await real.ask("/inference/echo/", real.bearer())).status == 200
            published = await real.gateway.publish(RouteTable((route("echo", server, port=port),)))
            assert set(published.problems) == {"echo"}
        assert await real.serve(route("echo", server, port=port))


async def test_a_taken_gateway_port_is_named_with_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = Box(tmp_path, holder.getsockname()[1])
        with pytest.raises(Unavailable, match=rf"process {os.getpid()} \(") as refused:
            await taken.gateway.start()
        assert "listen" in refused.value.hint
        with pytest.raises(Unavailable) as still:  # whoever asks later hears it too
            await taken.gateway.check()
        assert still.value.message == refused.value.message
    try:
        await taken.gateway.start()
        assert (await taken.gateway.check())["worker"]
        await taken.gateway.stop()
        with pytest.raises(Unavailable, match="HAProxy does not run"):
            await taken.gateway.check()
    finally:
        await taken.gateway.stop()
        await taken.gateway.close()


async def test_haproxy_warns_of_nothing_in_what_it_is_given(real: Box, free_port: Callable[[], int]) -> None:
    """It would say so at each start and reload, and hide what matters."""
    async with model_servers("r1", "r2") as (first, second):
        own = route("own", second, port=free_port(), host="own.example", retry=False)
        assert await real.serve(route("echo", first), own)
    folder = real.state_dir / "gateway"
    command = [folder / "bin/haproxy", "-c", "-C", folder, "-f", folder / "haproxy.cfg"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    assert "WARNING" not in done.stderr + done.stdout, done.stderr


async def test_a_damaged_configuration_is_replaced_at_start(real: Box) -> None:
    async with model_servers("r1") as (server,):
        await real.serve(route("echo", server))
        await real.gateway.stop()
        config = real.state_dir / "gateway" / "haproxy.cfg"
        config.write_text(config.read_text()[:-200] + "\nnonsense here\n")
        await real.gateway.start()
        assert (await real.ask("/inference/echo/", real.bearer())).code == "no_healthy_routing"
        assert await real.serve(route("echo", server))
        assert (await real.ask("/inference/echo/", real.bearer())).status == 200


async def test_a_reload_that_fails_is_not_repeated_and_leaves_the_rest_served(real: Box) -> None:
    async with model_servers("r1", "r2") as (first, second):
        await real.serve(route("echo", first))
        folder = real.state_dir / "gateway"
        served = (folder / "haproxy.cfg").read_text()
        (folder / "bin").unlink()
        (folder / "bin").mkdir()
        (folder / "bin" / "haproxy").symlink_to("/bin/false")
        real.gateway = HAProxyGateway(
            real.settings.model_copy(update={"haproxy": "/bin/false"}), real.state_dir, real.ring.signing_keys
        )
        with pytest.raises(Unavailable, match="cannot use its configuration"):
            await real.serve(route("echo", second), route("new", second))
        assert (await real.ask("/inference/echo/", real.bearer())).json["server"] == "r2"
        assert (folder / "haproxy.cfg").read_text() == served


async def test_a_reload_is_not_taken_for_a_death(real: Box) -> None:
    async def reload() -> None:
        for number in range(5):
            await real.serve(Route(f"s{number}", "no_healthy_routing"))

    reloading = asyncio.create_task(reload())
    while not reloading.done():
        await real.gateway.check()
    await reloading


async def test_files_are_private_and_the_binary_is_a_copy(real: Box) -> None:
    folder = real.state_dir / "gateway"
    secret = real.ring.signing_keys()[0].secret
    for file in folder.rglob("*"):
        if file.is_file() and "haproxy-" not in str(file):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert secret in (folder / "haproxy.cfg").read_text()
    program = Path(psutil.Process(int((await real.gateway.check())["pid"])).exe())
    assert program.is_relative_to(folder)


async def test_a_state_dir_with_a_long_or_odd_path_works(tmp_path: Path, free_port: Callable[[], int]) -> None:
    state = tmp_path / ("with space and ü " + "x" * 90)
    state.mkdir()
    async with box(state, free_port()) as real, model_servers("r1") as (server,):
        await real.serve(route("echo", server))
        assert (await real.ask("/inference/echo/", real.bearer())).status == 200
        sockets = Path(command(real.settings, state)[3].split(",")[0]).parent
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        await real.gateway.stop()
        assert not sockets.exists()
        await real.gateway.start()
        assert (await real.ask("/inference/echo/", real.bearer())).status == 200
    assert not sockets.exists()


async def test_a_gateway_with_a_unit_of_its_own(
    tmp_path: Path, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`managed = false`: another starts and ends it; the daemon only tells it what to serve."""
    real = Box(tmp_path, free_port(), managed=False)
    with monkeypatch.context() as soon:
        soon.setattr("orchestrator.gateway.haproxy.START_LIMIT", 0.1)
        with pytest.raises(Unavailable) as refused:
            await real.gateway.start()
    assert "unit" in refused.value.hint
    write_initial(real.settings, tmp_path, real.ring.signing_keys)
    argv = command(real.settings, tmp_path)
    quiet = asyncio.subprocess.DEVNULL
    unit = await asyncio.create_subprocess_exec(*argv, stdout=quiet, stderr=quiet)
    try:
        await real.gateway.start()
        (real.state_dir / "gateway/bin").unlink()  # as if it led to another version
        await real.gateway.start()
        assert (real.state_dir / "gateway/bin/haproxy").is_file(), "what the unit starts next is of this version"
        assert (await real.ask("/-/healthy")).json == {"healthy": True}
        async with model_servers("r1") as (server,):
            assert await real.serve(route("echo", server))
            config = write_initial(real.settings, tmp_path, real.ring.signing_keys)
            assert "svc_echo" in config.read_text()
            assert (await real.ask("/inference/echo/", real.bearer())).status == 200
        await real.gateway.stop()
        assert unit.returncode is None
    finally:
        unit.terminate()
        await unit.wait()


async def test_what_a_replaced_worker_had_told_is_not_counted_by_the_next_daemon(real: Box) -> None:
    """It lives on with its open connection, and its ring holds all that it ever answered."""
    recorders: list[Recorder] = []

    @asynccontextmanager
    async def daemon(generation: int = 0, marks: Mapping[str, str] | None = None) -> AsyncIterator[Recorder]:
        recorders.append(Recorder(real.state_dir, AccessLogSettings(enabled=False), lambda token: token))
        recorders[-1].begin(generation, marks or {})
        reads = asyncio.create_task(real.gateway.records(recorders[-1].take))
        try:
            yield recorders[-1]
        finally:
            reads.cancel()
            await asyncio.gather(reads, return_exceptions=True)

    def counted(recorder: Recorder) -> dict[str, int]:
        return {name: known.requests for name, known in recorder.totals().items() if known.requests}

    async with model_servers("r1") as (server,), model_servers("w", behave=echo_websocket) as (chat,):
        await real.serve(route("echo", server), route("chat", chat))
        async with real.client() as stream, real.client() as other:
            for one in (stream, other):
                await one.send("/inference/chat/", {**real.bearer(), **WEBSOCKET})
                assert (await one.head()).status == 101
            for _ in range(5):
                await real.ask("/inference/echo/", real.bearer())
            async with daemon() as first:
                await until(lambda: counted(first) == {"echo": 5})
            assert await real.serve(route("echo", server), route("chat", chat), route("new", server))
            generation, _, marks = first.settle()
            async with daemon(generation, marks) as second:
                await real.ask("/inference/new/", real.bearer())
                await until(lambda: counted(second) == {"new": 1})
                stream.writer.close()
                await until(lambda: counted(second).get("chat"))
                assert counted(second) == {"chat": 1, "new": 1}


async def test_a_hanging_master_is_noticed_and_replaced(real: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.gateway.master.LIMIT", 0.3)
    async with model_servers("r1") as (server,):
        await real.serve(route("echo", server))
        os.kill(int((await real.gateway.check())["pid"]), signal.SIGSTOP)
        with pytest.raises(Unavailable, match="did not answer within"):
            await real.gateway.check()
        await real.gateway.start()
        assert (await real.ask("/inference/echo/", real.bearer())).status == 200


async def test_what_we_lack_ourselves_says_nothing_of_haproxy(real: Box) -> None:
    before = await real.gateway.check()
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, usual[1]))
    try:
        with pytest.raises(Unavailable, match="Too many open files"):
            await real.gateway.check()
        with pytest.raises(Unavailable, match="Too many open files"):
            await real.gateway.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
    await real.gateway.start()
    assert await real.gateway.check() == before, "it serves as ever"


async def test_two_installations_leave_each_other_alone(tmp_path: Path, free_port: Callable[[], int]) -> None:
    async with box(tmp_path / "one", free_port()) as one:
        async with box(tmp_path / "two", free_port()):
            pass
        assert (await one.ask("/-/healthy")).status == 200


async def test_without_keys_everything_is_closed(tmp_path: Path, free_port: Callable[[], int]) -> None:
    real = Box(tmp_path, free_port())
    real.gateway = HAProxyGateway(GatewaySettings(listen=real.settings.listen), tmp_path, tuple)
    try:
        await real.gateway.start()
        async with model_servers("r1") as (server,):
            await real.serve(route("echo", server))
            assert (await real.ask("/inference/echo/", real.bearer())).code == "token_invalid"
    finally:
        await real.gateway.stop()


async def test_a_connection_remembers_only_what_it_verified(real: Box) -> None:
    """What is known of a token on a connection counts for the same bytes only, and never longer than the token."""
    async with model_servers("r1") as (server,):
        await real.serve(route("echo", server), route("other", server), route("public", server, open_to_public=True))
        echo = {"Authorization": f"Bearer {real.token('a', 'echo')}"}
        other = {"Authorization": f"Bearer {real.token('b', 'other')}"}
        read = {"Authorization": f"Bearer {real.token('c', 'echo', scope='read')}"}
        brief = {"Authorization": f"Bearer {real.token('d', 'echo', ends_in=1.5)}"}
        forged = {"Authorization": echo["Authorization"][:-4] + "AAAA"}
        async with real.client() as client:
            for _ in range(2):
                assert (await client.ask("/inference/echo/", echo)).status == 200
                assert (await client.ask("/inference/other/", echo)).code == "token_other_service"
                assert (await client.ask("/inference/echo/", forged)).code == "token_invalid"
                assert (await client.ask("/inference/echo/", other)).code == "token_other_service"
                assert (await client.ask("/inference/other/", other)).status == 200
                assert (await client.ask("/inference/echo/", read)).code == "token_scope"
                assert (await client.ask("/inference/echo/")).code == "token_missing"
                seen = (await client.ask("/inference/public/", other)).json["headers"]
                assert "authorization" not in seen
                seen = (await client.ask("/inference/public/", forged)).json["headers"]
                assert "authorization" in seen
            assert (await client.ask("/inference/echo/", brief)).status == 200
            await until(lambda: _refused(client, brief, "token_expired"))
            await real.gateway.revoke({"a": 1e12})
            assert (await client.ask("/inference/echo/", echo)).code == "token_revoked"


async def _refused(client: Client, header: dict[str, str], code: str) -> bool:
    answer = await client.ask("/inference/echo/", header)
    return answer.status == 401 and answer.code == code
