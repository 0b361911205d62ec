"""The web page on the API: plain ES modules, styles and the libraries they need, all shipped. `api.page` serves it."""

from orchestrator.dashboard.assets import Asset, Assets

__all__ = ["Asset", "Assets"]
