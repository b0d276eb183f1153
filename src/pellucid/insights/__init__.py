"""An app and a notebook widget that show what models base their predictions on.

``AttributionVisualizer`` takes models, what their inputs mean, and examples; ``.serve()`` opens a page in the browser,
``.render()`` one in a notebook, ``.to_html(path)`` writes one to a file, and ``.visualize()`` returns what they show.
"""

from pellucid.insights.batch import Batch
from pellucid.insights.configs import FilterConfig, PageConfig
from pellucid.insights.features import (
    EmptyFeature,
    Feature,
    GeneralFeature,
    ImageFeature,
    TextFeature,
    TimeSeriesFeature,
)
from pellucid.insights.visualizer import (
    AttributionVisualizer,
    FeatureOutput,
    OutputScore,
    VisualizationOutput,
)

__all__ = [
    "AttributionVisualizer",
    "Batch",
    "EmptyFeature",
    "Feature",
    "FeatureOutput",
    "FilterConfig",
    "GeneralFeature",
    "ImageFeature",
    "OutputScore",
    "PageConfig",
    "TextFeature",
    "TimeSeriesFeature",
    "VisualizationOutput",
]
