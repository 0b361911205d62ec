"""What somebody does with the dashboard, from the sign-in to the end of a service, on a real daemon."""

from __future__ import annotations

import asyncio
import re

from browsing import KEY, Tab, Tabs
from harness import Daemon, echo, until
from playwright.async_api import expect

from orchestrator.core.state import ServiceStatus


async def test_who_has_a_token_comes_in_and_who_may_only_read_changes_nothing(daemon: Daemon, tabs: Tabs) -> None:
    daemon.drop("echo", echo())
    await daemon.settled("echo")
    tab: Tab = await tabs(daemon, token="")
    tab.expected = ["401", "403"]
    await tab.page.goto(daemon.url)
    field = tab.page.get_by_label("Token")
    for wrong, said in (("nonsense", "not valid here"), ((await daemon.token("echo")).token, "")):
        await field.fill(str(wrong))
        await tab.button("Sign in").click()
        await expect(tab.page.locator(".wrong")).to_contain_text(said)
        await expect(field).to_have_value(str(wrong))
    await field.fill(daemon.admin_token)
    await tab.page.get_by_label("Remember on this device").check()
    await tab.button("Sign in").click()
    await expect(tab.page.get_by_role("link", name="echo", exact=True)).to_be_visible()
    assert await stored(tab) == [daemon.admin_token, daemon.admin_token]
    await tab.button("Sign out").click()
    await expect(tab.page.get_by_label("Token")).to_be_visible()
    assert await stored(tab) == [None, None]

    reader = await daemon.token("*", name="screen", scope="read")
    await tab.page.get_by_label("Token").fill(str(reader.token))
    await tab.button("Sign in").click()
    await tab.page.get_by_role("link", name="echo", exact=True).click()
    assert await stored(tab) == [reader.token, None]
    await tab.button("Scale").click(force=True)
    await tab.told("with a token that may read only")
    await expect(tab.dialog()).to_be_hidden()
    await expect(tab.page.get_by_label(re.compile("Share of the requests"))).to_be_disabled()
    await tab.go("/system/config")
    await tab.sees("for administrators")

    await daemon.client.token_revoke(reader.id)
    await tab.go("/system")
    await tab.sees("Your token is no longer valid here")


async def test_a_token_in_the_address_signs_in_and_is_taken_out_of_it(daemon: Daemon, tabs: Tabs) -> None:
    code, address, _ = await daemon.cli("open", "--token-in-url")
    assert code == 0
    assert address.strip().endswith(f"#token={daemon.admin_token}")
    tab: Tab = await tabs(daemon, token="")
    await tab.page.goto(address.strip())
    await expect(tab.button("Sign out")).to_be_visible()
    assert "token" not in tab.page.url
    assert await stored(tab) == [daemon.admin_token, None], "kept for this tab only"


async def stored(tab: Tab) -> list[str | None]:
    found: list[str | None] = await tab.page.evaluate(
        "key => [sessionStorage.getItem(key), localStorage.getItem(key)]", KEY
    )
    return found


async def test_a_service_from_its_start_to_its_end(daemon: Daemon, tabs: Tabs) -> None:
    daemon.drop("echo", echo("declared"))
    await daemon.settled("declared")
    tab: Tab = await tabs(daemon)
    tab.expected = ["status of 4(00|04|09|22)"]
    page = tab.page
    await tab.open()

    await tab.button("Start a service").first.click()
    await page.get_by_label("Model folder").fill("nowhere")
    await page.get_by_label("Service name").fill("mine")
    await page.get_by_label("CPU cores").fill("many")
    await tab.button("Start").click()
    await tab.sees("give a number", tab.dialog())
    await page.get_by_label("CPU cores").fill("")
    await tab.button("Start").click()
    await expect(tab.dialog().get_by_role("alert")).to_contain_text("nowhere")
    await expect(page.get_by_label("Service name")).to_have_value("mine")
    await page.get_by_label("Model folder").fill("echo")
    await page.get_by_label("Desired routing count").fill("2")
    await tab.button("Start").click()
    await tab.told("mine starts")
    await expect(page.locator('.service-title [data-status="HEALTHY"]')).to_be_visible()
    await expect(page.get_by_role("heading", level=1)).to_have_text("mine")
    await daemon.settled("mine", 2)

    await tab.button("Scale").click()
    await tab.button("One fewer").click()
    await tab.dialog().get_by_role("button", name="Scale", exact=True).click()
    await tab.told("mine: 1 wanted")
    await expect(page.get_by_text("1 of 1 healthy")).to_be_visible()

    await tab.button("Modify").click()
    await expect(page.get_by_label("Desired routing count")).to_have_value("1")
    await tab.pair("Environment", "MODE", "fast")
    await tab.button("Apply").click()
    await tab.told("mine is modified")
    changed = await daemon.settled("mine")
    assert changed.spec["routing"]["environ"] == {"MODE": "fast"}
    await tab.button("Modify").click()
    await expect(page.get_by_label("Environment: Name 1")).to_have_value("MODE")
    await page.keyboard.press("Escape")

    await tab.go("/services/mine")
    await tab.choose("More", "Terminate")
    await expect(tab.dialog().get_by_role("button", name="Terminate")).to_have_attribute("aria-disabled", "true")
    await page.get_by_label("Type mine to confirm").fill("mine")
    await tab.dialog().get_by_role("button", name="Terminate").click()
    await tab.told("mine is being terminated")
    await expect(page.get_by_role("link", name="mine", exact=True)).to_be_hidden()
    await expect(page.get_by_role("link", name="declared", exact=True)).to_be_visible()

    await tab.go("/activity/audit")
    for action in ("Start a model folder", "Remove a service"):
        await tab.sees(re.compile(action))


async def test_a_share_is_set_revisions_are_compared_and_one_comes_back(daemon: Daemon, tabs: Tabs) -> None:
    daemon.drop("mine", echo("mine"))
    await daemon.settled("mine")
    daemon.edit("mine", echo("mine", deployment={"environ": {"MODE": "fast"}}))
    await until(lambda: has_revision(daemon, 2), what="the second revision runs")
    tab: Tab = await tabs(daemon)
    page = tab.page
    await tab.open("/services/mine")
    share = page.get_by_label(re.compile("Share of the requests")).first
    await share.fill("0.5")
    await share.press("Enter")
    await tab.told("share 0.5")
    assert [r.traffic_ratio for r in (await daemon.service("mine")).routings] == [0.5]

    await tab.go("/services/mine/revisions")
    await tab.sees(re.compile("environ.*MODE"))
    await expect(page.locator("tr.add", has_text="fast").first).to_be_visible()
    await tab.button("Side by side").click()
    await expect(page.locator("td.add", has_text="fast").first).to_be_visible()
    await tab.button("Go back to revision 1").click()
    await tab.button("Go back").last.click()
    await tab.told("going back to revision 1")
    await expect(page.get_by_role("row", name=re.compile("^3 "))).to_be_visible()


async def has_revision(daemon: Daemon, number: int) -> bool:
    return (await daemon.settled("mine")).revision_number == number


async def test_a_declared_service_is_overridden_reset_and_its_file_written(daemon: Daemon, tabs: Tabs) -> None:
    folder = daemon.drop("echo", echo())
    await daemon.settled("echo")
    tab: Tab = await tabs(daemon)
    tab.expected = ["status of 409"]
    await tab.open("/services/echo")
    await tab.button("Modify").click()
    await tab.page.get_by_label("Open to public").select_option("yes")
    await tab.button("Apply").click()
    await tab.told("echo is modified")
    await tab.sees("override")
    await tab.choose("More", "Reset to the file")
    await tab.button("Reset").click()
    await expect(tab.page.get_by_text("override")).to_be_hidden()

    await tab.button("Modify").click()
    await tab.pair("Environment", "MODE", "slow")
    await tab.button("Apply").click()
    await expect(tab.dialog().get_by_role("alert")).to_contain_text("model-definition.yml")
    await expect(tab.page.get_by_label("Environment: Value 1")).to_have_value("slow")
    await tab.button("Write it into the file").click()
    await expect(tab.dialog()).to_be_hidden()
    assert "slow" in (folder / "model-definition.yml").read_text()
    await until(lambda: settled_with(daemon, "slow"), what="what was written runs")


async def settled_with(daemon: Daemon, mode: str) -> bool:
    return (await daemon.settled("echo")).spec["routing"]["environ"] == {"MODE": mode}


async def test_a_token_is_made_shown_once_used_and_revoked(daemon: Daemon, tabs: Tabs) -> None:
    daemon.drop("echo", echo())
    await daemon.settled("echo")
    tab: Tab = await tabs(daemon)
    await tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await tab.open("/services/echo/tokens")
    await tab.button("Create a token").click()
    await tab.page.get_by_label("Name").fill("batch job")
    await tab.page.get_by_label("Valid for").select_option("1d")
    await tab.button("Create").click()
    await tab.button("Copy").click()
    await tab.told("Token copied")
    text = await tab.page.evaluate("navigator.clipboard.readText()")
    assert text == await tab.page.locator("[data-token]").text_content()
    header = {"Authorization": f"BackendAI {text}"}
    assert (await daemon.ask("echo", header=header))[0] == 200
    await tab.button("Done").click()
    assert text not in await tab.page.content()
    await tab.button("Revoke the token batch job").click()
    await tab.dialog().get_by_role("button", name="Revoke", exact=True).click()
    await tab.told("The token is revoked")
    await tab.sees("revoked")
    await until(lambda: refused(daemon, header), what="the token is refused")


async def refused(daemon: Daemon, header: dict[str, str]) -> bool:
    return (await daemon.ask("echo", header=header))[0] == 401


TALKS = """
import sys, time
print("first line", flush=True)
for n in range(9999):
    print(f"tick {n}", flush=True, file=sys.stderr if n % 5 == 4 else sys.stdout)
    time.sleep(0.05)
"""


async def test_a_log_follows_is_searched_held_still_and_told_apart(daemon: Daemon, tabs: Tabs) -> None:
    daemon.drop(
        "talks", echo("talks", check={"initial_delay": 900}, start_command=["python", "-u", "-c", TALKS, "{port}"])
    )
    tab: Tab = await tabs(daemon)
    await until(lambda: has_routing(daemon), what="it runs")
    await tab.open("/services/talks/logs")
    log = tab.page.get_by_role("log", name="Log of talks")
    await expect(log).to_contain_text("first line")
    await expect(log).to_contain_text("tick 20")
    await expect(log.locator(".log-line.err").first).to_contain_text("err")
    await tab.page.get_by_label("Search in the log").fill("TICK 14")
    await expect(log.locator("mark").first).to_have_text("tick 14")
    await expect(log).not_to_contain_text("first line")
    await tab.page.get_by_label("Search in the log").fill("")
    await tab.page.get_by_label("Stream").select_option("err")
    await expect(log).not_to_contain_text("first line")
    await tab.page.get_by_label("Stream").select_option("")
    await tab.button("Pause").click()
    held = await log.locator(".log-line").count()
    await asyncio.sleep(0.4)  # the log goes on meanwhile; nothing of it may be shown
    assert await log.locator(".log-line").count() <= held + 3
    await tab.button("Go on").click()
    await expect(log.locator(".log-line")).not_to_have_count(held)
    routing = (await daemon.service("talks")).routings[0].id
    await tab.page.get_by_label("Routing").select_option(routing)
    await expect(log).to_contain_text("tick")


async def has_routing(daemon: Daemon) -> bool:
    return bool((await daemon.service("talks")).routings)


async def test_what_fails_says_why_and_is_tried_again(daemon: Daemon, tabs: Tabs) -> None:
    broken = echo("broken", start_command=["python", "-c", "import os; os.environ['HF_TOKEN']", "{port}"])
    daemon.drop("broken", broken)
    await until(lambda: is_unhealthy(daemon), 20, what="it fails")
    tab: Tab = await tabs(daemon)
    await tab.open("/services")
    await expect(tab.page.get_by_role("row", name=re.compile("broken"))).to_contain_text("Unhealthy")
    await tab.page.get_by_role("link", name="broken", exact=True).click()
    why = tab.page.locator(".notice.bad")
    await expect(why).to_contain_text("HF_TOKEN")
    await expect(why.get_by_role("log").first).to_contain_text("KeyError")
    broken["models"][0]["deployment"]["environ"] = {"HF_TOKEN": "x"}
    broken["models"][0]["service"]["start_command"] = echo()["models"][0]["service"]["start_command"]
    daemon.edit("broken", broken)
    await tab.button("Clear error and retry").click()
    await tab.told("errors cleared")
    await expect(tab.page.locator('.service-title [data-status="HEALTHY"]')).to_be_visible(timeout=30_000)
    await expect(why).to_be_hidden()


async def is_unhealthy(daemon: Daemon) -> bool:
    return (await daemon.service("broken")).status is ServiceStatus.UNHEALTHY


async def test_a_change_waits_is_planned_and_applied(daemon_manual: Daemon, tabs: Tabs) -> None:
    daemon = daemon_manual
    daemon.drop("echo", echo())
    tab: Tab = await tabs(daemon)
    await tab.open("/changes")
    await tab.sees("start routing 1 of 1", tab.page.get_by_role("main"))
    await tab.button("Apply…").click()
    await tab.dialog().get_by_role("button", name="Apply", exact=True).click()
    await tab.told("1 change taken over")
    await tab.sees("Done")
    await daemon.settled("echo")
    daemon.edit("echo", echo(deployment={"environ": {"MODE": "fast"}}))
    await tab.sees("environ.MODE")
    await tab.sees("no downtime")
    await expect(tab.page.get_by_role("link", name=re.compile("Changes"))).to_contain_text("1")
    daemon.remove("echo")
    await tab.sees("Forget the service")
    await tab.button("Apply…").click()
    await tab.dialog().get_by_role("button", name="Apply", exact=True).click()
    await expect(tab.page.get_by_text("Nothing waits")).to_be_visible()
    await until(lambda: gone(daemon), 20, what="it is gone")


async def test_removals_that_are_held_go_on_with_a_word(daemon: Daemon, tabs: Tabs) -> None:
    names = ("alpha", "beta", "gamma")
    for name in names:
        daemon.drop(name, echo(name, deployment={"desired_routing_count": 0}))
    await until(lambda: count(daemon, 3), what="they are there")
    tab: Tab = await tabs(daemon)
    await tab.open("/changes")
    await tab.sees("Nothing waits")
    for name in names:
        daemon.remove(name)
    await tab.sees("Held removals")
    await tab.button("Let the removal of beta go on").click()
    await tab.button("Remove").click()
    await until(lambda: count(daemon, 2), what="one is gone")
    await tab.go("/services/alpha")
    await tab.sees("Its removal waits for a word.")
    await tab.go("/changes")
    await tab.button("Let all go on").click()
    await tab.button("Remove").click()
    await tab.sees("Nothing waits")
    await until(lambda: gone(daemon), 20, what="all are gone")


async def count(daemon: Daemon, wanted: int) -> bool:
    return len(await daemon.client.services()) == wanted


async def gone(daemon: Daemon) -> bool:
    return not await daemon.client.services()
