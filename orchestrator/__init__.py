"""Model folders become healthy, load-balanced, token-guarded endpoints."""

__version__ = "0.1.0"
