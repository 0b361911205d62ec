"""Model folders on the dashboard: made, filled, edited, tried, served, deleted."""

from __future__ import annotations

import re
from pathlib import Path

from browsing import Tab, Tabs
from harness import EXAMPLES, Daemon
from playwright.async_api import Route, expect

SERVER = EXAMPLES / "echo" / "server.py"
DEFINITION = """\
models:
  - name: fresh
    model_path: /models
    service:
      start_command: [python, /models/server.py, --port, "{port}"]
      port: 8000
      health_check: {path: /health, interval: 0.5}
"""


async def test_a_folder_from_nothing_to_a_service(daemon: Daemon, tabs: Tabs) -> None:
    tab: Tab = await tabs(daemon)
    tab.expected = ["status of 4(00|09|22)"]
    page = tab.page
    await tab.open("/models")
    await tab.sees("There is no model folder yet")
    await tab.button("New model folder").first.click()
    await page.get_by_label("Name").fill("../away")
    await tab.button("Make it").click()
    await expect(tab.dialog().get_by_role("alert")).to_be_visible()
    await page.get_by_label("Name").fill("fresh")
    await tab.button("Make it").click()
    await tab.sees("This folder is empty")

    await page.locator("[data-upload]").set_input_files(SERVER)
    await expect(page.get_by_role("cell", name="server.py").first).to_be_visible()
    assert (daemon.models / "fresh" / "server.py").read_bytes() == SERVER.read_bytes()

    await page.get_by_role("navigation", name="Parts of the model").get_by_role("link", name="Definition").click()
    await tab.write(DEFINITION.replace("port: 8000", "prot: 8000"))
    problem = page.get_by_role("list", name="Problems").get_by_role("listitem").filter(has_text="prot")
    await expect(problem).to_contain_text("6:7")
    await expect(problem).to_contain_text("Did you mean")
    await expect(page.locator(".cm-lintRange-error", has_text="prot")).to_be_visible()
    await tab.button("Save").click(force=True)
    await tab.told("It has errors: mend them first.")
    assert not (daemon.models / "fresh" / "model-definition.yml").exists()
    await tab.write(DEFINITION)
    await tab.sees("Valid")
    await page.keyboard.press("Control+s")
    await tab.told("model-definition.yml is written")
    assert (daemon.models / "fresh" / "model-definition.yml").read_text() == DEFINITION
    await daemon.settled("fresh")

    await tab.choose("More", "Delete the folder")
    await page.get_by_label("Type fresh to confirm").fill("fresh")
    await tab.button("Delete").click()
    await tab.told("fresh is deleted")
    assert not (daemon.models / "fresh").exists()


async def test_what_somebody_else_wrote_meanwhile_is_not_lost(daemon: Daemon, tabs: Tabs) -> None:
    file = daemon.drop("echo", DEFINITION) / "model-definition.yml"
    tab: Tab = await tabs(daemon)
    tab.expected = ["status of 409"]
    await tab.open("/models/echo/definition")
    await expect(tab.page.get_by_role("textbox", name="Definition")).to_contain_text("health_check")
    file.write_text(DEFINITION + "# theirs\n")
    await tab.write(DEFINITION + "# mine\n")
    await tab.sees("Valid")
    await tab.button("Save").click()
    await tab.sees("Somebody else changed the file meanwhile.")
    assert "# theirs" in file.read_text()
    await tab.button("Take theirs").click()
    await expect(tab.page.get_by_role("textbox", name="Definition")).to_contain_text("# theirs")
    file.write_text(DEFINITION + "# theirs again\n")
    await tab.write(DEFINITION + "# mine\n")
    await tab.button("Save").click()
    await tab.button("Write mine").click()
    await tab.dialog().get_by_role("button", name="Write mine").click()
    await tab.told("model-definition.yml is written")
    assert "# mine" in file.read_text()


async def test_the_editor_knows_the_schema(daemon: Daemon, tabs: Tabs) -> None:
    daemon.drop("echo", DEFINITION)
    tab: Tab = await tabs(daemon)
    page = tab.page
    await tab.open("/models/echo/definition")
    editor = page.get_by_role("textbox", name="Definition")
    await expect(editor).to_contain_text("health_check")
    await editor.click()
    await page.keyboard.press("Control+End")
    await page.keyboard.type("    deployment:\ndesir", delay=20)
    options = page.get_by_role("option")
    await expect(options.first).to_contain_text("desired_routing_count")
    await page.keyboard.press("Enter")
    await page.keyboard.type("2\n", delay=20)
    await page.keyboard.type("update:\nstrategy: b", delay=20)
    await page.get_by_role("option", name="blue_green").click()
    await expect(editor).to_contain_text("strategy: blue_green")
    await tab.sees("Valid")
    await page.locator(".cm-line", has_text="health_check").locator("span").first.hover()
    await expect(page.locator(".about").first).to_contain_text("health_check")


async def test_an_upload_shows_its_progress_and_goes_on_after_a_break(
    daemon: Daemon, tabs: Tabs, tmp_path: Path
) -> None:
    daemon.drop("echo", DEFINITION)
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(bytes(range(256)) * (80 << 10))  # 20 MiB: three parts
    tab: Tab = await tabs(daemon)
    tab.expected = ["net::ERR_FAILED", "ERR_CONNECTION"]
    page = tab.page
    asked: list[str] = []

    async def third_part_breaks(route: Route) -> None:
        if route.request.method == "PUT":
            asked.append(re.sub(r".*offset=(\d+).*", r"\1", route.request.url))
            if len(asked) == 2:
                return await route.abort()
        return await route.continue_()

    await page.route("**/files/weights.safetensors*", third_part_breaks)
    await tab.open("/models/echo")
    await page.locator("[data-upload]").set_input_files(weights)
    await expect(page.get_by_role("progressbar")).to_be_visible()
    await tab.sees("20.0 MiB, done")
    assert asked == ["0", "8388608", "8388608", "16777216"]
    assert (daemon.models / "echo" / "weights.safetensors").read_bytes() == weights.read_bytes()
    async with page.expect_download() as waiting:
        await tab.button("Download weights.safetensors").click()
    assert Path(await (await waiting.value).path()).read_bytes() == weights.read_bytes()
    await tab.button("Delete weights.safetensors").click()
    await tab.button("Delete").click()
    await expect(page.get_by_role("cell", name="weights.safetensors", exact=True)).to_be_hidden()


async def test_a_try_that_finished_has_not_always_passed(daemon: Daemon, tabs: Tabs) -> None:
    daemon.drop("good", DEFINITION)
    daemon.drop("bad", DEFINITION.replace("--port", "--wrong").replace("fresh", "stale"))
    tab: Tab = await tabs(daemon)
    run, passed = tab.page.locator("[data-run]"), tab.page.locator("[data-passed]")
    log = tab.page.get_by_role("log", name="Log of the try")
    await tab.open("/models/good")
    await tab.button("Validate").click()
    await expect(run).to_have_text("Finished", timeout=30_000)
    await expect(passed).to_contain_text("Passed")
    await expect(log).to_contain_text("listening on")
    await tab.page.keyboard.press("Escape")
    await tab.go("/models/bad")
    await tab.button("Validate").click()
    await expect(run).to_have_text("Finished", timeout=30_000)
    await expect(passed).to_contain_text("Failed")
    await expect(log).to_contain_text("unrecognized arguments")
    await tab.button("Try again").click()
    await tab.button("Cancel the try").click()
    await expect(run).to_contain_text("Cancelled")
