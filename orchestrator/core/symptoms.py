"""Known sights and what they mean: lines of logs, words of probes, exit codes. Tables; `core.explain` reads them.

The causes that the product itself tells of are in `core.causes`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class Symptom(NamedTuple):
    """`message` and `hint` may hold `{0}`: what the pattern's first group found."""

    code: str
    pattern: re.Pattern[str]
    message: str
    hint: str


class Sight(NamedTuple):
    """A symptom that was seen, in words."""

    code: str
    message: str
    hint: str


def _symptom(code: str, pattern: str, message: str, hint: str) -> Symptom:
    return Symptom(code, re.compile(pattern, re.IGNORECASE), message, hint)


LOG_SYMPTOMS = (
    _symptom(
        "log_cuda_out_of_memory",
        r"(?:CUDA|HIP) (?:error: )?out of memory|OutOfMemoryError: CUDA|cudaErrorMemoryAllocation|cudaMalloc failed"
        r"|CUBLAS_STATUS_ALLOC_FAILED|No available memory for the cache blocks",
        "the accelerator has no memory left",
        "use a smaller model, batch or context (vLLM: --gpu-memory-utilization, --max-model-len), or more cuda.device",
    ),
    _symptom(
        "log_driver_too_old",
        r"driver version is insufficient|NVIDIA driver on your system is too old|Driver/library version mismatch"
        r"|unsatisfied condition: cuda",
        "the host's NVIDIA driver does not fit the CUDA of the image",
        "update the host's driver (after an update restart the host), or use an image with an older CUDA",
    ),
    _symptom(
        "log_no_accelerator",
        r"No CUDA GPUs are available|Found no NVIDIA driver|no CUDA-capable device|libcuda\.so\.1"
        r"|NVML: Driver Not Loaded|couldn't communicate with the NVIDIA driver",
        "the server finds no accelerator, or no driver for it",
        "ask for one with deployment.resources: {{cuda.device: 1}}; `orchestrator doctor` shows what the host has",
    ),
    _symptom(
        "log_toolkit_missing",
        r"nvcc[^\n]{0,40}not found|CUDA_HOME environment variable is not set|lib(?:cudart|cublas|cudnn)\S{0,40}\.so"
        r"\S{0,20}: cannot open",
        "the CUDA toolkit or one of its libraries is missing",
        "use an image that has it (a CUDA `runtime` or, to compile at the start, `devel` image)",
    ),
    _symptom(
        "log_shared_memory",
        r"/dev/shm|\bbus error\b|insufficient shared memory|shared memory \(shm\)",
        "shared memory (/dev/shm) is too small",
        "raise deployment.resources.shm, for instance to 2g",
    ),
    _symptom(
        "log_no_space",
        r"No space left on device|ENOSPC|Disk quota exceeded",
        "a disk is full",
        "free space on the host's disk that holds containers and model folders (`df -h`)",
    ),
    _symptom(
        "log_host_memory",
        r"\bMemoryError\b|Cannot allocate memory|std::bad_alloc",
        "the server could get no more memory",
        "raise deployment.resources.mem, or use a smaller model",
    ),
    _symptom(
        "log_module_missing",
        r"(?:ModuleNotFoundError|ImportError|python[\d.]*): No module named ['\"]?([\w.]+)",
        "the Python module {0} is not installed",
        "use an image that has it, or install it by a run_command action (pip install …)",
    ),
    _symptom(
        "log_environ_missing",
        r"\bKeyError: ['\"]((?-i:[A-Z][A-Z0-9_]{2,}))['\"]",
        "the environment variable {0} seems to be missing",
        "set it under deployment.environ, or deployment.secrets if it is a secret",
    ),
    _symptom(
        "log_address_in_use",
        r"Address already in use|EADDRINUSE|\[Errno 98\]",
        "the port that the server wants is taken",
        "let the server listen on {{port}} instead of a fixed number, and start it once only",
    ),
    _symptom(
        "log_model_download",
        r"GatedRepoError|gated repo|40[13] Client Error|HTTP Error 40[13]|returned error: 40[13]"
        r"|huggingface\.co.{0,200}\b40[13]\b",
        "the model's download was refused: it needs a token, or its licence accepted",
        "put the token among the secrets, name it under deployment.secrets (HF_TOKEN), accept the model's licence",
    ),
    _symptom(
        "log_no_network",
        r"Temporary failure in name resolution|Name or service not known|Network is unreachable|Max retries exceeded"
        r"|Could not resolve host|No route to host",
        "the server could not reach the network",
        "check the host's DNS and proxy, or put the files into the model folder",
    ),
    _symptom(
        "log_clock",
        r"certificate is not yet valid|token is not yet valid|clock skew|RequestTimeTooSkewed",
        "a peer and this machine do not agree on the time",
        "set the host's clock, and keep it right by NTP (`timedatectl`)",
    ),
    _symptom(
        "log_bad_arguments",
        r"unrecognized arguments?: ?(.{0,200})|the following arguments are required|unknown (?:flag|option)\b",
        "the server does not understand its arguments: {0}",
        "compare start_command with what this version of the server takes (its --help)",
    ),
    _symptom(
        "log_killed",
        r"^(?:.{0,200}\s)?Killed$|\bSIGKILL\b|\bsignal 9\b|exit ?code:? -9\b|Killed process \d",
        "a process of the server was killed, as a rule because it took more memory than there is",
        "raise deployment.resources.mem, or use a smaller model or fewer workers (the host's `dmesg` says more)",
    ),
    _symptom(
        "log_permission",
        r"Permission denied|PermissionError",
        "something may not be read or written",
        "check owner and mode of the files, model_read_only and deployment.user",
    ),
    _symptom(
        "log_file_missing",
        r"(?:FileNotFoundError|No such file or directory|can't open file)[^'\"]{0,80}(?:['\"]([^'\"]{0,200}))?",
        "a file is missing: {0}",
        "paths are those inside the routing; the model folder is mounted at deployment.model_mount_destination",
    ),
)

PROBE_SYMPTOMS = (
    _symptom(
        "health_foreign_port",
        r"held by a process that is not",
        "another program listens on the port",
        "end that program, or let the server listen on {{port}} instead of a fixed number",
    ),
    _symptom(
        "health_unreachable",
        r"unreachable|no route to host",
        "the routing's address cannot be reached",
        "`orchestrator doctor` shows the network of the container engine",
    ),
    _symptom(
        "health_loopback",
        r"it listens on (.+) only",
        "the server listens on {0} only, where nobody reaches it",
        "bind 0.0.0.0: give the server --host 0.0.0.0, or whatever its option is called",
    ),
    _symptom(
        "health_other_port",
        r"it listens on (.+), not on port",
        "the server listens on another port than the one that is asked: {0}",
        "let it listen on {{port}} or set service.port; an inner port may come first while a server still loads",
    ),
    _symptom(
        "health_not_listening",
        r"it listens on no port yet",
        "the server listens on no port at all",
        "it still loads (raise deployment.start_timeout if that only is slow), or hangs: see its log",
    ),
    _symptom(
        "health_refused",
        r"refused|does not accept connections",
        "nothing accepts connections on the port",
        "the server still loads, listens on another port than service.port (give it {{port}}), or only on 127.0.0.1 "
        "(let it listen on 0.0.0.0)",
    ),
    _symptom(
        "health_redirect",
        r" answered (3\d\d)\b",
        "the health path redirects (status {0})",
        "redirects are not followed: give health_check.path the path that it leads to",
    ),
    _symptom(
        "health_not_found",
        r" answered (404|405)\b",
        "the server does not know the health path (status {0})",
        "set health_check.path to one that the server answers; many have /health, /v1/models or /",
    ),
    _symptom(
        "health_denied",
        r" answered (401|403)\b",
        "the health path asks for a login (status {0})",
        "use a path that needs none, or list the status under health_check.expected_status_code",
    ),
    _symptom(
        "health_status",
        r" answered ([1-5]\d\d)\b",
        "the health path answers with another status than expected: {0}",
        "see the server's log; if that status means healthy, list it under health_check.expected_status_code",
    ),
    _symptom(
        "health_timeout",
        r" had no answer|timed out",
        "the server accepts connections but does not answer in time",
        "it is busy or stuck: see its log; raise health_check.max_wait_time if it only is slow",
    ),
    _symptom(
        "health_closed",
        r"hangs up|reset by|closed|disconnected|\bEOF\b|broken pipe",
        "the connection was closed before an answer came",
        "the server still starts, crashed on the request, or speaks another protocol than HTTP on this port",
    ),
)

EXITS: dict[int, tuple[str, str]] = {
    0: ("exited", "the start command ended; a server must stay in the foreground (no `&`, no --daemon)"),
    126: ("permission", "the start command is not executable: chmod +x it, or start it with its interpreter"),
    127: ("command_not_found", "the image has no such command: check start_command and PATH, or use another image"),
    132: ("exited", "illegal instruction: the program was built for another kind of processor"),
    134: ("exited", "the program gave itself up (abort); see the log"),
    137: ("exited", "killed from outside (SIGKILL): by hand, or by the host because its memory was full (`dmesg`)"),
    139: ("exited", "the program crashed (segmentation fault): often a library or driver that does not fit"),
    143: ("exited", "ended from outside (SIGTERM)"),
}
"""Exit code to the cause's code and hint; 128 + n stands for signal n."""
CANNOT_EXECUTE = 126
WRONG_FORMAT = re.compile(r"exec format error|cannot execute binary file", re.IGNORECASE)


def log_symptom(lines: Sequence[str]) -> Sight | None:
    """The most telling known symptom in a log tail: the first of the table that stands in any line, the last one."""
    for symptom in LOG_SYMPTOMS:
        for line in reversed(lines):
            if found := symptom.pattern.search(line):
                return _seen(symptom, found)
    return None


def probe_symptom(message: str) -> Sight | None:
    """What the message of a failed probe means."""
    for symptom in PROBE_SYMPTOMS:
        if found := symptom.pattern.search(message):
            return _seen(symptom, found)
    return None


def exit_meaning(exit_code: int | None, log_tail: Sequence[str] = ()) -> tuple[str, str]:
    """Code and hint for a start command that ended; local processes report signal n as -n. Shells have one exit code
    for all that cannot be executed: the log tells more."""
    status = 128 - exit_code if exit_code is not None and exit_code < 0 else exit_code
    if status is None:
        return "exited", "see the log"
    if status == CANNOT_EXECUTE and any(WRONG_FORMAT.search(line) for line in log_tail):
        return "exec_format", "the file was built for another kind of processor, or is a script without #! line"
    return EXITS.get(status, ("exited", "the server gave up by itself; the end of its log says why"))


def _seen(symptom: Symptom, found: re.Match[str]) -> Sight:
    group = (found[1] or "") if found.re.groups else ""
    return Sight(symptom.code, symptom.message.format(group).rstrip(": "), symptom.hint.format(group))
