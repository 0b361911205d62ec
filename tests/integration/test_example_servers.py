"""The servers that the examples bring along, as real processes: what they answer is what other tests build on."""

from __future__ import annotations

import asyncio
import io
import json
import math
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

EXAMPLES = Path(__file__).parents[2] / "examples" / "model-definitions"
RATE = 16_000


@pytest.fixture
def serve(free_port: Callable[[], int]) -> Iterator[Callable[..., str]]:
    """A function that starts an example's server.py and gives its address once it listens."""
    running: list[subprocess.Popen[str]] = []

    def start(name: str, *arguments: str, **environ: str) -> str:
        port = free_port()
        command = [sys.executable, str(EXAMPLES / name / "server.py"), "--port", str(port), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | environ)
        running.append(process)
        assert process.stdout is not None
        assert "listening" in process.stdout.readline()
        return f"http://127.0.0.1:{port}"

    yield start
    for process in running:
        process.terminate()
        assert process.wait(timeout=10) == 0, "SIGTERM is not obeyed"
        assert process.stdout is not None
        process.stdout.close()


async def test_echo_answers_with_what_it_was_asked(serve: Callable[..., str]) -> None:
    async with aiohttp.ClientSession(serve("echo")) as client:
        async with client.get("/health") as answer:
            assert answer.status == 200
        async with client.patch(URL("/a/b?c=d%2Fe", encoded=True), data=b"body", headers={"X-Own": "1"}) as answer:
            said = await answer.json()
            assert (said["method"], said["path"], said["body"], said["size"]) == ("PATCH", "/a/b?c=d%2Fe", "body", 4)
            assert said["headers"]["X-Own"] == "1"
        async with client.get("/status/503") as answer:
            assert answer.status == 503


async def test_echo_takes_bodies_of_any_size_and_kind(serve: Callable[..., str]) -> None:
    async def parts() -> object:
        for _ in range(30):
            yield bytes(100_000)

    async with aiohttp.ClientSession(serve("echo")) as client:
        for body in (io.BytesIO(bytes(3_000_000)), parts()):
            async with client.post("/", data=body) as answer:
                assert (await answer.json())["size"] == 3_000_000
        async with client.get("/") as answer:  # the connection is still good
            assert answer.status == 200


async def test_echo_streams_as_it_goes(serve: Callable[..., str]) -> None:
    async with aiohttp.ClientSession(serve("echo")) as client, client.get("/stream?n=3&delay=0.2") as answer:
        times = []
        async for line in answer.content:
            if line.strip():
                times.append(time.monotonic())
        assert len(times) == 3
        assert times[-1] - times[0] > 0.3


async def test_echo_speaks_websocket(serve: Callable[..., str]) -> None:
    async with aiohttp.ClientSession(serve("echo")) as client, client.ws_connect("/ws") as socket:
        for text in ("a", "ä" * 100, "x" * 70_000):
            await socket.send_str(text)
            assert await socket.receive_str(timeout=5) == text
        await socket.send_bytes(b"\0\xff")
        assert await socket.receive_bytes(timeout=5) == b"\0\xff"
        await socket.ping()


async def test_echo_handles_many_connections(serve: Callable[..., str]) -> None:
    async with aiohttp.ClientSession(serve("echo"), connector=aiohttp.TCPConnector(limit=0)) as client:

        async def slow() -> int:
            async with client.get("/slow?seconds=0.5") as answer:
                return answer.status

        began = time.monotonic()
        assert await asyncio.gather(*(slow() for _ in range(200))) == [200] * 200
        assert time.monotonic() - began < 10


async def test_a_rollout_tells_its_version_and_fails_as_often_as_it_is_told(serve: Callable[..., str]) -> None:
    base = serve("rollouts", VERSION="7", ERRORS="0.2", ORCHESTRATOR_SERVICE="update-canary")
    async with aiohttp.ClientSession(base) as client:
        statuses = []
        for _ in range(10):
            async with client.get("/") as answer:
                statuses.append(answer.status)
                said = await answer.json()
        assert statuses == [200, 200, 200, 200, 500] * 2
        assert said == {"error": "version 7 is broken"}
        async with client.get("/health") as answer:
            assert answer.status == 200
        async with client.get("/stream?n=1") as answer:
            assert await answer.text() == "data: 0 of version 7\n\n"


# --- a real model ---------------------------------------------------------------------------------------------------


def vowel(seconds: float) -> bytes:
    """Something like an `a`: pulses through three resonances, as 16 bit samples."""
    sound, phase = [], 0.0
    for index in range(int(RATE * seconds)):
        phase += 120 * (1 + 0.1 * math.sin(2 * math.pi * 2.5 * index / RATE)) / RATE
        sound.append(1.0 if phase >= 1 else 0.0)
        phase %= 1
    for pitch, width in ((730, 90), (1090, 110), (2440, 170)):
        decay = math.exp(-math.pi * width / RATE)
        first, second = 2 * decay * math.cos(2 * math.pi * pitch / RATE), -decay * decay
        before, last = 0.0, 0.0
        for index, value in enumerate(sound):
            before, last = last, value + first * last + second * before
            sound[index] = last
    loudest = max(map(abs, sound))
    return struct.pack(f"<{len(sound)}h", *(int(12_000 * s / loudest) for s in sound))


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the example's own pre-start actions install."""
    import yaml

    definition = yaml.safe_load((EXAMPLES / "voice-activity" / "model-definition.yml").read_text())
    (install,) = [
        a["args"]["command"]
        for a in definition["models"][0]["service"]["pre_start_actions"]
        if a["action"] == "run_command"
    ]
    target = str(tmp_path_factory.mktemp("packages"))
    words = {"python": sys.executable, "/home/work/packages": target}
    subprocess.run([words.get(word, word) for word in install], check=True, timeout=100)
    return target


async def test_the_real_model_tells_speech_from_silence(serve: Callable[..., str], packages: str) -> None:
    silence = bytes(2 * RATE)
    async with aiohttp.ClientSession(serve("voice-activity", "--packages", packages)) as client:

        async def ask(body: bytes, status: int = 200) -> dict[str, object]:
            async with client.post("/", data=body) as answer:
                assert answer.status == status, await answer.text()
                return dict(json.loads(await answer.text()))

        quiet, spoken = await ask(silence * 2), await ask(silence + vowel(0.4) + silence)
        assert quiet["speech"] == []
        assert spoken["speech"], spoken
        begin, end = spoken["speech"][0][0], spoken["speech"][-1][1]  # type: ignore[index]
        assert 0.9 < begin < end < 2.4
        assert "not a WAV" in str((await ask(b"RIFFxxxx", 400))["error"])
        async with client.get("/") as answer:
            assert (await answer.json())["model"] == "Silero VAD"
