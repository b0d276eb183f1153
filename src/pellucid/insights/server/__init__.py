"""Pellucid Insights over HTTP: `serve` opens a desk to a browser on this computer."""

from pellucid.insights.server.app import app_of
from pellucid.insights.server.serving import Serving, serve

__all__ = ["Serving", "app_of", "serve"]
