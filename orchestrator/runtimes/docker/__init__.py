"""Containers of a Docker Engine."""

from orchestrator.runtimes.docker.runtime import DockerRuntime

__all__ = ["DockerRuntime"]
