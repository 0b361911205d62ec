"""Model folders: what is in them, and what would run. `read_folder` for one, `Scanner` for all, again and again."""

from orchestrator.folders.reading import Reading, read_folder
from orchestrator.folders.scanner import Scan, Scanner, scan

__all__ = ["Reading", "Scan", "Scanner", "read_folder", "scan"]
