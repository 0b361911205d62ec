"""Says which version of it answers. Standard library only; made to be changed while somebody asks it.

/health            200 at once
/stream            `n` lines (default 30), one a second: to see that a change lets it end
anything else      version, service and routing, as JSON

Environment: VERSION is what it says; ERRORS the share of requests that get 500 (0.2: one in five); DELAY the seconds
that each answer takes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

VERSION = os.environ.get("VERSION", "")
ERRORS = float(os.environ.get("ERRORS", "0"))
DELAY = float(os.environ.get("DELAY", "0"))
ASKED = itertools.count(1)


class Versioned(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave in one packet; flushed after each request

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/health":
            return self.reply({"status": "ok"})
        if url.path == "/stream":
            return self.stream(int(parse_qs(url.query).get("n", ["30"])[-1]))
        number = next(ASKED)
        time.sleep(DELAY)
        if int(number * ERRORS) > int((number - 1) * ERRORS):
            return self.reply({"error": f"version {VERSION} is broken"}, 500)
        service, routing = (os.environ.get(f"ORCHESTRATOR_{name}", "") for name in ("SERVICE", "ROUTING"))
        return self.reply({"version": VERSION, "service": service, "routing": routing})

    def reply(self, value: object, status: int = 200) -> None:
        data = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, count: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(count):
            line = f"data: {number} of version {VERSION}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
            time.sleep(1)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Silent: a busy server must not fill a disk."""


class Server(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is nothing to talk about."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8000")))
    port = arguments.parse_args().port
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Server(("0.0.0.0", port), Versioned) as server:
        print(f"version {VERSION} is listening on port {port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
