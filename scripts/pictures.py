"""Pictures of the dashboard for docs/pictures: every page in both themes, on a daemon that carries requests.

    .venv/bin/python scripts/pictures.py [NAME...]

Takes some five minutes: charts need a past. Run it when the page looks different, and look at what it made.
"""

from __future__ import annotations

import asyncio
import random
import struct
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "scenarios"))

from browsing import Tab, chromium, open_tab  # noqa: E402
from harness import Daemon, echo  # noqa: E402
from page_world import CHAT, canary, chat, drop_world, settle_world  # noqa: E402
from playwright.async_api import expect  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
PAST = 200.0
"""Seconds of requests before the first picture."""

Act = Callable[[Tab], Awaitable[object]]


async def nothing(_: Tab) -> None:
    pass


async def chatted(tab: Tab) -> None:
    await tab.page.get_by_label("Message").fill("What is a routing?")
    await tab.page.keyboard.press("Enter")
    await tab.sees("pieces/s")


async def asked(tab: Tab) -> None:
    await tab.page.get_by_label("Path").fill("/v1/anything?x=1")
    await tab.button("Send").click()
    await tab.sees('"method"')


async def validated(tab: Tab) -> None:
    await tab.button("Validate").click()
    await expect(tab.page.locator("[data-run]")).to_have_text("Finished", timeout=30_000)


async def compared(tab: Tab) -> None:
    await tab.page.get_by_role("link", name="Changes", exact=True).last.click()
    await tab.button("Side by side").click()


def pressed(name: str) -> Act:
    async def act(tab: Tab) -> None:
        await tab.button(name).first.click()

    return act


WIDE, PHONE = (1200, 760), (390, 780)
PAGES: tuple[tuple[str, str, str, Act, tuple[int, int]], ...] = (
    ("services", "/services", "llama-3.1-8b", nothing, WIDE),
    ("service", "/services/llama-3.1-8b", "Latency", pressed("5 min"), WIDE),
    ("failing", "/services/whisper-large", "HF_TOKEN", nothing, WIDE),
    ("rollout", "/services/translate", "Rollout of revision 2", nothing, WIDE),
    ("logs", "/services/mixtral-8x7b/logs", "loading shard", nothing, WIDE),
    ("revisions", "/services/translate/revisions", "GENERATION", compared, WIDE),
    ("service-tokens", "/services/llama-3.1-8b/tokens", "support desk", nothing, WIDE),
    ("try", "/services/echo/try", "Answer", asked, WIDE),
    ("chat", "/services/llama-3.1-8b/try", "Say something to", chatted, WIDE),
    ("access", "/services/echo/access", "support desk", nothing, WIDE),
    ("start", "/services", "llama-3.1-8b", pressed("Start a service"), WIDE),
    ("modify", "/services/llama-3.1-8b", "Routings", pressed("Modify"), WIDE),
    ("models", "/models", "embeddings", nothing, WIDE),
    ("files", "/models/llama", "tokenizer.json", nothing, WIDE),
    ("editor", "/models/reranker/definition", "start_comand", nothing, WIDE),
    ("validate", "/models/whisper", "server.py", validated, WIDE),
    ("events", "/activity", "service.status", nothing, WIDE),
    ("audit", "/activity/audit", "Create a token", nothing, WIDE),
    ("usage", "/activity/usage", "echo", nothing, WIDE),
    ("tokens", "/tokens", "Signing keys", nothing, WIDE),
    ("system", "/system", "State directory", nothing, WIDE),
    ("phone", "/services", "llama-3.1-8b", nothing, PHONE),
    ("phone-service", "/services/whisper-large", "HF_TOKEN", nothing, PHONE),
)


async def requests(daemon: Daemon) -> None:
    """Somebody uses the services, more at some times than at others."""
    header = {name: {"Authorization": f"Bearer {(await daemon.token('*', name=name)).token}"} for name in USERS}

    async def user(service: str, paths: tuple[str, ...]) -> None:
        while True:
            await asyncio.sleep(random.expovariate(2.5))
            name = random.choice(USERS)
            await daemon.ask(service, random.choice(paths), header=header[name])

    async with asyncio.TaskGroup() as group:
        for service, paths in USED:
            for _ in range(3):
                group.create_task(user(service, paths))


USERS = ("support desk", "batch job", "evaluation")
USED = (
    ("echo", ("/", "/", "/", "/", "/slow?seconds=0.15", "/status/500")),
    ("llama-3.1-8b", ("/v1/models", "/health")),
    ("translate", ("/", "/slow?seconds=0.05")),
)


async def take(daemon: Daemon, wanted: set[str]) -> None:
    async with chromium() as browser:
        for theme in ("light", "dark"):
            for name, path, text, act, size in PAGES:
                if wanted and name not in wanted:
                    continue
                tab = await open_tab(browser, daemon, theme=theme, size=size)  # type: ignore[arg-type]
                await tab.open(path)
                await expect(tab.page.get_by_role("main")).to_contain_text(text)
                await act(tab)
                await asyncio.sleep(1.2)
                save(f"{name}-{theme}", await tab.page.screenshot())
                await tab.page.context.close()
            if not wanted or "sign-in" in wanted:
                tab = await open_tab(browser, daemon, token="", theme=theme, size=WIDE)  # type: ignore[arg-type]
                await tab.page.goto(daemon.url)
                await tab.sees("Sign in")
                save(f"sign-in-{theme}", await tab.page.screenshot())


async def waiting(folder: Path) -> None:
    """The page of changes needs a daemon that takes nothing over by itself."""
    async with Daemon(folder, folder / "artifacts", name="manual", environ={"ORCHESTRATOR_APPLY": "manual"}) as daemon:
        daemon.drop("llama", chat(), {"chat.py": CHAT})
        daemon.drop("translate", canary("1"))
        await daemon.cli("apply", "--wait")
        daemon.edit(
            "translate", echo("translate", deployment={"desired_routing_count": 4, "environ": {"MODE": "fast"}})
        )
        daemon.remove("llama")
        async with chromium() as browser:
            for theme in ("light", "dark"):
                tab = await open_tab(browser, daemon, theme=theme, size=WIDE)  # type: ignore[arg-type]
                await tab.open("/changes")
                await tab.sees("environ.MODE")
                await tab.sees("Forget the service")
                await expect(tab.page.locator(".link-state").first).to_have_text("Live")
                save(f"changes-{theme}", await tab.page.screenshot())


def save(name: str, png: bytes) -> None:
    TAKEN[name] = png
    print(name, flush=True)


TAKEN: dict[str, bytes] = {}
"""Made smaller only at the end: it takes seconds, in which nobody would use the services."""


def indexed(png: bytes) -> bytes:
    """The same picture in its 256 most used colours: a third of the size, and the eye sees no difference."""
    width, height, size, pixels = decoded(png)
    counts = Counter(pixels[at : at + 3] for at in range(0, len(pixels), size))
    palette = [colour for colour, _ in counts.most_common(256)]
    nearest = {colour: n for n, colour in enumerate(palette)}
    for colour in counts:
        if colour not in nearest:
            r, g, b = colour
            nearest[colour] = min(
                range(256), key=lambda n: sum((x - y) ** 2 for x, y in zip(palette[n], (r, g, b), strict=True))
            )
    rows = (
        bytes([0, *(nearest[pixels[at : at + 3]] for at in range(row * width * size, (row + 1) * width * size, size))])
        for row in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    body = zlib.compress(b"".join(rows), 9)
    parts = ((b"IHDR", header), (b"PLTE", b"".join(palette)), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def decoded(png: bytes) -> tuple[int, int, int, bytes]:
    """Width, height, bytes of a pixel, and all pixels of an 8 bit picture that is not interlaced."""
    at, data, width, height, size = 8, b"", 0, 0, 3
    while at < len(png):
        (length,), kind = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        if kind == b"IHDR":
            width, height, _, colours = struct.unpack(">IIBB", png[at + 8 : at + 18])
            size = {2: 3, 6: 4}[colours]
        elif kind == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += 12 + length
    raw, line, found = zlib.decompress(data), width * size, bytearray()
    above = bytearray(line)
    for row in range(height):
        start = row * (line + 1)
        above = unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + line]), above, size)
        found += above
    return width, height, size, bytes(found)


def unfiltered(kind: int, row: bytearray, above: bytearray, size: int) -> bytearray:
    for n in range(len(row) if kind else 0):
        left, up = row[n - size] if n >= size else 0, above[n]
        if kind == 1:
            add = left
        elif kind == 2:
            add = up
        elif kind == 3:
            add = (left + up) >> 1
        else:
            corner = above[n - size] if n >= size else 0
            a, b, c = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
            add = left if a <= b and a <= c else up if b <= c else corner
        row[n] = (row[n] + add) & 255
    return row


async def main(wanted: set[str]) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        if not wanted or "changes" in wanted:
            await waiting(Path(folder))
        if not wanted or wanted - {"changes"}:
            await living(Path(folder), wanted - {"changes"})
    for name, png in TAKEN.items():
        small = indexed(png)
        (PICTURES / f"{name}.png").write_bytes(small)
        print(f"{name}: {len(small) >> 10} KiB", flush=True)


async def living(folder: Path, wanted: set[str]) -> None:
    """A daemon whose services are used while it is looked at."""
    async with Daemon(folder, folder / "artifacts", name="orchestrator") as daemon:
        drop_world(daemon)
        await settle_world(daemon)
        await daemon.token("llama-3.1-8b", name="support desk", expires="90d")
        await daemon.token("*", name="wall screen", scope="read", expires="1yr")
        used = asyncio.create_task(requests(daemon), name="requests")
        await asyncio.sleep(PAST)
        await take(daemon, wanted)
        used.cancel()
        await asyncio.gather(used, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(set(sys.argv[1:])))
