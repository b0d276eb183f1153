"""Pictures of attributions. matplotlib is imported by the functions that draw, and not before.

``visualize_*``, ``VisualizationDataRecord`` and ``draw_mask_*`` have established names and arguments. ``draw_*``
draw on a given axis, in the unit of the attributions and in colours that colour-blind readers tell apart.
"""

from __future__ import annotations

from pellucid.visualization.colors import attribution_limit, heat_map_rgba, signed_colormap
from pellucid.visualization.curves import draw_convergence, draw_removal
from pellucid.visualization.figures import png_bytes
from pellucid.visualization.image import visualize_image_attr, visualize_image_attr_multiple
from pellucid.visualization.maps import draw_attribution, draw_channels, draw_images
from pellucid.visualization.masks import draw_mask_border, draw_mask_legend, draw_regions
from pellucid.visualization.notebook import explanation_html
from pellucid.visualization.records import (
    HTMLPage,
    VisualizationDataRecord,
    format_classname,
    format_special_tokens,
    format_tooltip,
    format_word_importances,
    visualize_text,
)
from pellucid.visualization.series import draw_series
from pellucid.visualization.tables import draw_bars, draw_beeswarm, draw_waterfall
from pellucid.visualization.timeseries import visualize_timeseries_attr
from pellucid.visualization.tokens import draw_tokens, tokens_html

__all__ = [
    "HTMLPage",
    "VisualizationDataRecord",
    "attribution_limit",
    "draw_attribution",
    "draw_bars",
    "draw_beeswarm",
    "draw_channels",
    "draw_convergence",
    "draw_images",
    "draw_mask_border",
    "draw_mask_legend",
    "draw_regions",
    "draw_removal",
    "draw_series",
    "draw_tokens",
    "draw_waterfall",
    "explanation_html",
    "format_classname",
    "format_special_tokens",
    "format_tooltip",
    "format_word_importances",
    "heat_map_rgba",
    "png_bytes",
    "signed_colormap",
    "tokens_html",
    "visualize_image_attr",
    "visualize_image_attr_multiple",
    "visualize_text",
    "visualize_timeseries_attr",
]
