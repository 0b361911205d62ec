"""The dashboard's pure parts, asked in the browser that runs them: places in a definition, the schema, differences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from browsing import Tabs
from harness import Daemon

TEXT = """\
# a note
models:
  - name: echo
    service:
      start_command: [python, -m]
      health_check:
        path: /
    deployment:
      environ:
        KEY: value

  - name: other
    service:
      pre_start_actions:
      - action: log
        args:
          message: hello
"""

PLACES: Sequence[tuple[int, int, list[str], str | None, bool]] = (
    (1, 3, [], "models", False),
    (2, 6, ["models", "-"], "name", False),
    (2, 13, ["models", "-"], "name", True),
    (4, 8, ["models", "-", "service"], "start_command", False),
    (6, 10, ["models", "-", "service", "health_check"], "path", False),
    (9, 9, ["models", "-", "deployment", "environ"], "KEY", False),
    (10, 4, ["models", "-"], None, False),
    (10, 6, ["models", "-", "deployment"], None, False),
    (10, 0, [], None, False),
    (14, 9, ["models", "-", "service", "pre_start_actions", "-"], "action", False),
    (16, 12, ["models", "-", "service", "pre_start_actions", "-", "args"], "message", False),
)
"""Line and column from 0; the path there, the key, and whether one is behind it."""

KEYS: Sequence[tuple[list[str], str, str]] = (
    ([], "models", "service"),
    (["models", "-"], "service", "start_command"),
    (["models", "-", "service"], "start_command", "start-command"),
    (["models", "-", "service", "health_check"], "max_wait_time", "port"),
    (["models", "-", "service", "pre_start_actions", "-"], "action", "port"),
    (["models", "-", "deployment", "update"], "strategy", "image"),
)
"""A path, a key that may stand there, one that may not."""

VALUES: Sequence[tuple[list[str], str]] = (
    (["models", "-", "deployment", "update", "strategy"], "canary"),
    (["models", "-", "deployment", "open_to_public"], "true"),
    (["models", "-", "service", "port"], "8000"),
    (["models", "-", "service", "pre_start_actions", "-", "action"], "run_command"),
)

DIFFS: Sequence[tuple[str, str, str]] = (
    ("a\nb\nc", "a\nb\nc", " a b c"),
    ("a\nb\nc", "a\nx\nc", " a-b+x c"),
    ("", "a\nb", "-+a+b"),
    ("a\nb\nc\nd", "b\nc\ne", "-a b c-d+e"),
    ("x\na\nb", "a\nb\nx", "-x a b+x"),
    ("a\na\na", "a\na", " a a-a"),
)
"""Before, after, and each line with its sign. What comes of the longest common part is the shortest way."""

AFTER: Sequence[tuple[str, int]] = (
    ("models:", 2),
    ("  - name: echo", 4),
    ("    service:", 6),
    ("      environ: # none", 8),
    ("  - |", 2),
    ("      body: |", 8),
)
"""A line, and how far the next one is indented."""

SUMMARIES: Sequence[tuple[list[str], str]] = (
    ([], "Nothing is served yet."),
    (["HEALTHY"], "The one service is healthy."),
    (["HEALTHY", "HEALTHY"], "All 2 services are healthy."),
    (
        ["HEALTHY", "PROVISIONING over_quota", "PROVISIONING no_capacity"],
        "1 of 3 services is healthy; there is no room for 2.",
    ),
    (["PROVISIONING loading"], "0 of 1 service is healthy; 1 starts."),
    (
        [
            "HEALTHY",
            "HEALTHY",
            "UNHEALTHY exited",
            "DEGRADED no_capacity",
            "PROVISIONING creating",
            "STOPPED",
            "DESTROYING",
        ],
        "2 of 7 services are healthy; 2 need a look, 1 starts, 1 is stopped, 1 is being removed.",
    ),
)
"""Status and code of each service, and what the page says of all."""

ALONE: Sequence[tuple[list[float | None], list[int]]] = (
    ([], []),
    ([1], [0]),
    ([None, 1, None, 2, 3, None], [1]),
    ([1, None, 1], [0, 2]),
    ([0, 0, None], []),
)
"""Values over time, and which of them no line would show."""

ASK = """async ([version, text, places, keys, values, diffs, after, summaries, values_over_time]) => {
  const load = (name) => import(`/assets/${version}/js/${name}.js`);
  const wanted = ["editor/place", "editor/schema", "ui/diff", "pages/services", "ui/chart"];
  const [place, schema, diff, services, chart] = await Promise.all(wanted.map(load));
  const service = ([status, cause_code]) => ({ status, cause_code });
  const headers = { Authorization: `Bearer ${sessionStorage.getItem("orchestrator.token")}` };
  const root = await (await fetch("/v1/schema", { headers })).json();
  const lines = text.split("\\n");
  return {
    places: places.map(([row, column]) => {
      const { path, key, inValue } = place.placeAt(lines, row, column);
      return [row, column, path, key ?? null, inValue];
    }),
    keys: keys.map(([path]) => schema.keysAt(root, path).map((one) => one.key)),
    values: values.map(([path]) => schema.valuesAt(root, path)),
    diffs: diffs.map(([a, b]) => diff.compare(a, b).map(([sign, line]) => sign + line).join("")),
    after: after.map(([line]) => place.indentAfter(line)),
    summaries: summaries.map(([all]) => services.summary(all.map((one) => service(one.split(" "))))),
    alone: values_over_time.map(([values]) => chart.alone(values)),
  };
}"""


@pytest.fixture
async def answers(daemon: Daemon, tabs: Tabs) -> Any:
    tab = await tabs(daemon)
    await tab.open()
    version = await tab.page.evaluate("document.querySelector('script[type=module]').src.split('/')[4]")
    return await tab.page.evaluate(ASK, [version, TEXT, PLACES, KEYS, VALUES, DIFFS, AFTER, SUMMARIES, ALONE])


async def test_the_pure_parts_say_what_is_so(answers: Any) -> None:
    assert [json.dumps(one) for one in answers["places"]] == [json.dumps(one) for one in PLACES]
    for found, (path, there, absent) in zip(answers["keys"], KEYS, strict=True):
        assert there in found, path
        assert absent not in found, path
    for found, (path, there) in zip(answers["values"], VALUES, strict=True):
        assert there in found, path
    assert answers["diffs"] == [said for _, _, said in DIFFS]
    assert answers["after"] == [count for _, count in AFTER]
    assert answers["summaries"] == [said for _, said in SUMMARIES]
    assert answers["alone"] == [found for _, found in ALONE]
