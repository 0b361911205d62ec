"""What this machine has: the slots of resource group `default` where config.toml does not say otherwise."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

import psutil

from orchestrator.core.state import Group

NVIDIA_LIMIT = 10.0
"""Seconds that nvidia-smi may take."""


async def host_capacity() -> Group:
    """Cores this process may use, bytes of memory, and whole accelerators by their UUID (0 where there are none)."""
    devices = await nvidia_devices()
    cores = float(len(os.sched_getaffinity(0)))
    slots = {"cpu": cores, "mem": float(psutil.virtual_memory().total), "cuda.device": float(len(devices))}
    return Group("default", slots, devices)


async def nvidia_devices() -> tuple[str, ...]:
    """UUIDs of the NVIDIA devices in the driver's order; empty where there is no driver or it does not answer."""
    try:
        process = await asyncio.create_subprocess_exec(
            "nvidia-smi",
            "--query-gpu=uuid",
            "--format=csv,noheader",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return ()
    try:
        async with asyncio.timeout(NVIDIA_LIMIT):
            out, _ = await process.communicate()
    except TimeoutError:
        return ()
    finally:
        if process.returncode is None:
            process.kill()
            with suppress(TimeoutError):  # one that a hung driver holds ends only with its cause
                async with asyncio.timeout(1):
                    await process.communicate()
    lines = [line.strip() for line in out.decode("utf-8", "replace").splitlines()] if not process.returncode else []
    return tuple(line for line in lines if line.startswith("GPU-"))
