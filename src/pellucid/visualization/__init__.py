"""Pictures of attributions. matplotlib is imported by the functions that draw, and not before."""

from __future__ import annotations

from pellucid.visualization.colors import attribution_limit, heat_map_rgba, signed_colormap
from pellucid.visualization.figures import png_bytes
from pellucid.visualization.image import visualize_image_attr, visualize_image_attr_multiple
from pellucid.visualization.panels import draw_attribution, draw_bars

__all__ = [
    "attribution_limit",
    "draw_attribution",
    "draw_bars",
    "heat_map_rgba",
    "png_bytes",
    "signed_colormap",
    "visualize_image_attr",
    "visualize_image_attr_multiple",
]
