"""The dashboard asks services and shows what they carry: single requests, streams, chats, charts, the access log."""

from __future__ import annotations

import re

from browsing import Tab, Tabs
from harness import Daemon, echo, until
from page_world import CHAT, chat
from playwright.async_api import expect


async def test_a_request_streams_is_stopped_and_errors_are_shown(daemon: Daemon, tabs: Tabs) -> None:
    daemon.drop("echo", echo())
    await daemon.settled("echo")
    tab: Tab = await tabs(daemon)
    page = tab.page
    await tab.open("/services/echo/try")
    await page.get_by_label("Method").select_option("POST")
    await page.get_by_label("Path").fill("/v1/things?x=1")
    await page.get_by_label("Body").fill('{"prompt": "<b>hello</b>"}')
    await tab.button("Send").click()
    answer = page.get_by_role("region", name="Body of the answer")
    await expect(page.locator("[data-answer]")).to_have_text("200")
    await expect(answer).to_contain_text('"method": "POST"')
    await expect(answer).to_contain_text("/v1/things?x=1")
    await expect(answer).to_contain_text("<b>hello</b>")
    await expect(page.get_by_text(re.compile("comes"))).to_be_hidden()

    await page.get_by_label("Method").select_option("GET")
    await page.get_by_label("Path").fill("/stream?n=500&delay=0.05")
    await tab.button("Send").click()
    await expect(answer).to_contain_text("data: 3")
    await expect(answer).not_to_contain_text("data: 400")
    await tab.button("Stop").click()
    await expect(answer).to_contain_text("(stopped)")

    await page.get_by_label("Path").fill("/status/503")
    await tab.button("Send").click()
    await expect(page.locator("[data-answer]")).to_have_text("503")
    await page.get_by_label("Path").fill("no-slash")
    await tab.button("Send").click()
    await tab.sees("a path begins with /")


async def test_a_chat_streams_from_the_model_that_was_chosen(daemon: Daemon, tabs: Tabs) -> None:
    daemon.drop("llama", chat(), {"chat.py": CHAT})
    await daemon.settled("llama-3.1-8b")
    tab: Tab = await tabs(daemon)
    page = tab.page
    await tab.open("/services/llama-3.1-8b/try")
    await page.get_by_label("Model", exact=True).select_option("llama-3.1-8b-sql")
    await page.get_by_label("Message").fill("What is a routing?")
    await page.keyboard.press("Enter")
    said = page.get_by_role("log", name="What was said")
    await expect(said).to_contain_text("What is a routing?")
    await expect(said).to_contain_text("A routing is one running copy of a service.")
    await expect(said).to_contain_text("pieces/s")
    await tab.go("/services/llama-3.1-8b/logs")
    await expect(page.get_by_role("log")).to_contain_text("chat with llama-3.1-8b-sql")


async def test_what_a_service_carries_is_seen(daemon: Daemon, tabs: Tabs) -> None:
    daemon.drop("echo", echo(deployment={"desired_routing_count": 2}))
    await daemon.settled("echo")
    header = await daemon.header("echo")
    for path in ("/", "/", "/", "/status/500"):
        await daemon.ask("echo", path, header=header)

    async def counted() -> bool:
        return (await daemon.client.usage(days=1))[0].requests >= 4

    await until(counted, 30, what="the requests are counted")
    tab: Tab = await tabs(daemon)
    page = tab.page
    await tab.open("/services/echo")
    latency = page.get_by_role("img", name=re.compile("^Latency over time"))
    await expect(latency.locator("canvas")).to_be_visible()
    await expect(
        page.get_by_role("img", name=re.compile("^Routings over time. Now: healthy 2, wanted 2"))
    ).to_be_visible(timeout=30_000)
    await tab.go("/services/echo/access")
    await expect(page.get_by_role("row", name=re.compile("status.500"))).to_contain_text("500")
    await daemon.ask("echo", "/after-that", header=header)
    await expect(page.get_by_role("row", name=re.compile("after-that"))).to_be_visible()
    await tab.go("/activity/usage")
    await expect(page.get_by_role("row", name=re.compile("echo"))).to_contain_text("(")
    async with page.expect_download() as waiting:
        await tab.button("As CSV").click()
    assert (await waiting.value).suggested_filename == "usage.csv"


async def test_one_routing_is_replaced_and_one_removed(daemon: Daemon, tabs: Tabs) -> None:
    daemon.drop("echo", echo(deployment={"desired_routing_count": 2}))
    first = {routing.id for routing in (await daemon.settled("echo")).routings}
    one, other = sorted(first)
    tab: Tab = await tabs(daemon)
    await tab.open("/services/echo")
    await tab.choose(f"More for routing {one}", "Replace it")
    await tab.dialog().get_by_role("button", name="Replace it").click()
    await tab.told(f"Routing {one} ends")
    await until(lambda: runs_without(daemon, one, 2), 20, what="another took its place")
    await tab.choose(f"More for routing {other}", "Remove it")
    await tab.dialog().get_by_role("button", name="Remove it").click()
    await until(lambda: runs_without(daemon, other, 1), 20, what="it is gone, and one fewer is wanted")
    await expect(tab.page.get_by_text("1 of 1 healthy")).to_be_visible()


async def runs_without(daemon: Daemon, gone: str, count: int) -> bool:
    seen = await daemon.settled("echo", count, deadline=1)
    return gone not in {routing.id for routing in seen.routings} and seen.desired_routing_count == count
