"""Answers each request with what it was asked. Standard library only; one thread a connection.

/health            200 at once
/stream            `n` lines (default 5), one each `delay` seconds (default 0.1), chunked
/slow              answers after `seconds` (default 1)
/status/<code>     that status
/ws                WebSocket: sends each message back
anything else      method, path, headers, body (its first 64 KiB) and its size in bytes, as JSON
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import signal
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

SHOWN = 64 * 1024
CHUNK = 1 << 20
WS_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
WS_LONGEST = 1 << 20
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one packet; flushed after each request

    def answer(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        if url.path == "/ws" and self.headers.get("Upgrade", "").lower() == "websocket":
            return self.websocket()
        body, size = self.take_body()
        if url.path == "/health":
            self.reply({"status": "ok"})
        elif url.path == "/stream":
            self.stream(int(query.get("n", 5)), float(query.get("delay", 0.1)))
        elif url.path == "/slow":
            time.sleep(float(query.get("seconds", 1)))
            self.reply({"slept": float(query.get("seconds", 1))})
        elif url.path.startswith("/status/") and url.path[8:].isdigit():
            self.reply({"status": int(url.path[8:])}, int(url.path[8:]))
        else:
            self.reply(
                {
                    "method": self.command,
                    "path": self.path,
                    "headers": dict(self.headers.items()),
                    "body": body.decode("utf-8", "replace"),
                    "size": size,
                    "routing": os.environ.get("ORCHESTRATOR_ROUTING", ""),
                }
            )
        return None

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def reply(self, value: object, status: int = 200) -> None:
        data = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def take_body(self) -> tuple[bytes, int]:
        """The body's first bytes and its whole size; read in constant memory, chunked or not."""
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.take(int(self.headers.get("Content-Length") or 0))
        head, total = b"", 0
        while length := int(self.rfile.readline(1024).split(b";")[0] or b"0", 16):
            part, size = self.take(length)
            head, total = (head + part)[:SHOWN], total + size
            self.rfile.readline(8)
        while self.rfile.readline(CHUNK) not in (b"\r\n", b"\n", b""):
            pass  # trailers
        return head, total

    def take(self, length: int) -> tuple[bytes, int]:
        head, total = b"", 0
        while total < length and (part := self.rfile.read(min(CHUNK, length - total))):
            head, total = (head + part)[:SHOWN], total + len(part)
        return head, total

    def stream(self, count: int, delay: float) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(count):
            line = f"data: {number}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
            time.sleep(delay)
        self.wfile.write(b"0\r\n\r\n")

    def websocket(self) -> None:
        key = self.headers.get("Sec-WebSocket-Key", "").encode()
        accept = base64.b64encode(hashlib.sha1(key + WS_KEY).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        while frame := self.receive():
            first, data = frame
            opcode = first & 15
            if opcode != PONG:
                self.send(first - PING + PONG if opcode == PING else first, data)
            if opcode == CLOSE:
                return

    def receive(self) -> tuple[int, bytes] | None:
        """First byte and unmasked data of a frame; None: the client is gone or asks too much."""
        head = self.rfile.read(2)
        if len(head) < 2:
            return None
        length = head[1] & 127
        if length > 125:
            length = int.from_bytes(self.rfile.read(2 if length == 126 else 8), "big")
        if length > WS_LONGEST or not head[1] & 128:
            return None
        mask = self.rfile.read(4)
        data = self.rfile.read(length)
        return head[0], bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))

    def send(self, first: int, data: bytes) -> None:
        size = len(data)
        if size < 126:
            length = bytes([size])
        else:
            length = b"\x7e" + size.to_bytes(2, "big") if size < 1 << 16 else b"\x7f" + size.to_bytes(8, "big")
        self.wfile.write(bytes([first]) + length + data)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Silent: a busy server must not fill a disk."""


class Server(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True
    address_family = socket.AF_INET

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is nothing to talk about."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8000")))
    arguments.add_argument("--host", default="0.0.0.0")
    given = arguments.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Server((given.host, given.port), Echo) as server:
        print(f"listening on {given.host}:{given.port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
