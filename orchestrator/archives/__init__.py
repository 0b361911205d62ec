"""Files and folders as tar streams, in constant memory: how `cp` brings them into routings and out of them."""

from orchestrator.archives.packing import packed
from orchestrator.archives.reading import Rename, repacked
from orchestrator.archives.spooling import filled, followed, spool
from orchestrator.archives.threads import Incoming, aside, streamed
from orchestrator.archives.unpacking import place_of, unpacked

__all__ = [
    "Incoming",
    "Rename",
    "aside",
    "filled",
    "followed",
    "packed",
    "place_of",
    "repacked",
    "spool",
    "streamed",
    "unpacked",
]
