"""The dashboard stays true: what happens arrives, a break is seen and mended, five hundred services stay usable."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from browsing import Tab, Tabs
from harness import Daemon, echo, until
from playwright.async_api import expect

MANY = 500


async def test_what_happens_arrives_and_a_break_is_seen_and_mended(daemon: Daemon, tabs: Tabs) -> None:
    daemon.drop("echo", echo())
    await daemon.settled("echo")
    tab: Tab = await tabs(daemon)
    tab.expected = ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET"]
    await tab.open()
    row = tab.page.get_by_role("row", name=re.compile("echo"))
    await expect(row).to_contain_text("1/1")
    await daemon.client.scale("echo", 2)
    await expect(row).to_contain_text("2/2")
    await tab.page.evaluate("window.mark = 1")

    await daemon.kill()
    await tab.sees("Reconnecting to the daemon. What you see may be old.")
    await expect(row).to_contain_text("2/2")
    await daemon.start()
    await expect(tab.page.get_by_text("Reconnecting to the daemon")).to_be_hidden(timeout=30_000)
    await daemon.client.scale("echo", 3)
    await expect(row).to_contain_text("3/3", timeout=30_000)
    await tab.go("/activity")
    await tab.sees("service.scaled")
    assert await tab.page.evaluate("window.mark") == 1, "the page was never loaded anew"


async def test_five_hundred_services_stay_usable(daemons: Callable[..., Awaitable[Daemon]], tabs: Tabs) -> None:
    daemon = await daemons(runtime="memory")
    for number in range(MANY):
        daemon.drop(f"m{number:03}", echo(f"model-{number:03}", deployment={"desired_routing_count": 0}))

    async def all_there() -> bool:
        return len(await daemon.client.services()) == MANY

    await until(all_there, 90, every=1, what="all services are there")
    tab: Tab = await tabs(daemon)
    page = tab.page
    await tab.open()
    await expect(page.get_by_role("table", name="Services")).to_have_attribute("aria-rowcount", str(MANY + 1))
    await tab.page.reload()
    await expect(page.get_by_role("link", name="model-000", exact=True)).to_be_visible()
    painted: float = await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert painted < 1000, f"first paint after {painted:.0f} ms"
    assert await page.get_by_role("row").count() < 60, "only what is seen exists"
    await page.keyboard.press("/")
    await page.keyboard.type("model-49")
    await expect(page.get_by_role("table", name="Services")).to_have_attribute("aria-rowcount", "11")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Service", exact=True).click()
    await expect(page.get_by_role("row").nth(1)).to_contain_text("model-499")
    await page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    await expect(page.get_by_role("link", name="model-000", exact=True)).to_be_visible()
    took: Any = await page.evaluate(SCROLL)
    assert took["slow"] <= took["frames"] / 4, took
    assert await tab.faults() == []


SCROLL = """async () => {
  const frames = [];
  let last = performance.now();
  for (let at = 0; at < 40; at += 1) {
    window.scrollTo(0, at * 700);
    await new Promise(requestAnimationFrame);
    frames.push(performance.now() - last);
    last = performance.now();
  }
  return { frames: frames.length, slow: frames.filter((one) => one > 100).length };
}"""


async def test_the_keyboard_is_enough(daemon: Daemon, tabs: Tabs) -> None:
    for name in ("alpha", "beta"):
        daemon.drop(name, echo(name))
    await daemon.settled("alpha")
    await daemon.settled("beta")
    tab: Tab = await tabs(daemon)
    page = tab.page
    await tab.open()
    await expect(page.get_by_role("link", name="beta", exact=True)).to_be_visible()
    for key in "jj":
        await page.keyboard.press(key)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("beta")
    await page.keyboard.press("g")
    await page.keyboard.press("m")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Models")
    await page.keyboard.press("Control+k")
    await page.keyboard.type("alph")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("alpha")
    await page.keyboard.press("n")
    await expect(page.get_by_label("Model folder")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(tab.dialog()).to_be_hidden()
    more = tab.button("More").last
    await more.focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("ArrowUp")
    await expect(page.get_by_role("menuitem", name="Terminate")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(more).to_be_focused()
    await expect(page.locator("html")).not_to_have_attribute("data-theme", "dark")
    for _ in range(2):
        await page.get_by_role("button", name=re.compile("Theme")).first.click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
