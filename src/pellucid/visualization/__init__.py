"""Pictures of attributions. matplotlib is imported by the functions that draw, and not before."""

from __future__ import annotations

from pellucid.visualization.colors import attribution_limit, heat_map_rgba, signed_colormap
from pellucid.visualization.figures import png_bytes
from pellucid.visualization.image import visualize_image_attr, visualize_image_attr_multiple
from pellucid.visualization.maps import draw_attribution, draw_channels, draw_images
from pellucid.visualization.masks import draw_mask_border, draw_mask_legend
from pellucid.visualization.tables import draw_bars, draw_beeswarm, draw_waterfall

__all__ = [
    "attribution_limit",
    "draw_attribution",
    "draw_bars",
    "draw_beeswarm",
    "draw_channels",
    "draw_images",
    "draw_mask_border",
    "draw_mask_legend",
    "draw_waterfall",
    "heat_map_rgba",
    "png_bytes",
    "signed_colormap",
    "visualize_image_attr",
    "visualize_image_attr_multiple",
]
