"""Model folders that show everything the dashboard can: each status, a rollout that waits, a server that chats."""

from __future__ import annotations

import asyncio
import textwrap
from typing import Any

from harness import Daemon, echo, until

from orchestrator.core.state import ServiceStatus

CHAT = textwrap.dedent('''
    """Speaks as much of OpenAI's language as a chat needs."""
    import json, sys, time
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    SAID = "A routing is one running copy of a service. When it dies, another one starts; requests go to the others."

    class Chat(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            models = [{"id": "llama-3.1-8b-instruct", "object": "model"}, {"id": "llama-3.1-8b-sql", "object": "model"}]
            self.reply({"object": "list", "data": models} if self.path == "/v1/models" else {"status": "ok"})

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            print("chat with", asked["model"], flush=True)
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for word in SAID.split(" "):
                self.put(json.dumps({"choices": [{"delta": {"content": word + " "}}]}))
                time.sleep(0.01)
            self.put("[DONE]")
            self.wfile.write(b"0\\r\\n\\r\\n")

        def put(self, text):
            data = f"data: {text}\\n\\n".encode()
            self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(data), data))
            self.wfile.flush()

        def reply(self, value):
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    print("loaded 8 shards in 0.4 s", flush=True)
    print("WARNING: running on the CPU", file=sys.stderr, flush=True)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Chat).serve_forever()
''')
LOADS = "import sys, time\nfor n in range(9999):\n    print(f'loading shard {n}', flush=True)\n    time.sleep(1)"
CRASHES = "import os\nprint('loading', flush=True)\nos.environ['HF_TOKEN']"
INVALID = """\
models:
  - name: reranker
    service:
      start_comand: [python, server.py]
      port: 80000
      health_check: {path: health}
"""


def chat(name: str = "llama-3.1-8b", **deployment: Any) -> dict[str, Any]:
    said = {"description": "Llama 3.1 8B Instruct, for the support team"}
    made = echo(name, deployment=deployment, start_command=["python", "/models/chat.py", "{port}"])
    made["models"][0]["metadata"] = said
    return made


def canary(generation: str) -> dict[str, Any]:
    update = {"strategy": "canary", "steps": [10, 50], "pause": 3600, "min_requests": 100_000}
    environ = {"GENERATION": generation}
    return echo("translate", deployment={"desired_routing_count": 3, "environ": environ, "update": update})


def drop_world(daemon: Daemon) -> None:
    daemon.drop("echo", echo())
    daemon.drop("llama", chat(desired_routing_count=2), {"chat.py": CHAT, "tokenizer.json": "{}"})
    daemon.drop("translate", canary("1"))
    daemon.drop("embeddings", echo("bge-embeddings", deployment={"desired_routing_count": 0, "open_to_public": True}))
    daemon.drop("reranker", INVALID)
    loads = {"initial_delay": 900}
    daemon.drop("mixtral", echo("mixtral-8x7b", check=loads, start_command=["python", "-u", "-c", LOADS, "{port}"]))
    daemon.drop("whisper", echo("whisper-large", start_command=["python", "-u", "-c", CRASHES, "{port}"]))


async def settle_world(daemon: Daemon) -> None:
    """Until everything is as it stays: `translate` with a canary that waits, `whisper-large` given up for now."""
    await asyncio.gather(daemon.settled("echo"), daemon.settled("llama-3.1-8b"), daemon.settled("translate"))
    daemon.edit("translate", canary("2"))

    async def judged() -> bool:
        seen = await daemon.service("translate")
        return seen.rollout is not None and seen.rollout.phase == "judging"

    async def failing() -> bool:
        return (await daemon.service("whisper-large")).status is ServiceStatus.UNHEALTHY

    await until(judged, 20, what="the canary is judged")
    await until(failing, 20, what="whisper-large is UNHEALTHY")
