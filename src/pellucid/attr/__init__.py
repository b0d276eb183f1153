"""Attribution methods, under the names and with the arguments that PyTorch users know."""

from pellucid import visualization as visualization
from pellucid.attr.attribution import (
    Attribution,
    GradientAttribution,
    LayerAttribution,
    NeuronAttribution,
    PerturbationAttribution,
)
from pellucid.attr.deep_lift import DeepLift
from pellucid.attr.deep_lift_shap import DeepLiftShap
from pellucid.attr.gradient_shap import GradientShap
from pellucid.attr.guided import Deconvolution, GuidedBackprop
from pellucid.attr.image_mask import ImageMaskInput
from pellucid.attr.input_x_gradient import InputXGradient
from pellucid.attr.integrated_gradients import IntegratedGradients
from pellucid.attr.interpretable import InterpretableInput, ProductBaselines, TextTemplateInput, TextTokenInput
from pellucid.attr.lrp import LRP
from pellucid.attr.noise_tunnel import NoiseTunnel
from pellucid.attr.saliency import Saliency

__all__ = [
    "LRP",
    "Attribution",
    "Deconvolution",
    "DeepLift",
    "DeepLiftShap",
    "GradientAttribution",
    "GradientShap",
    "GuidedBackprop",
    "ImageMaskInput",
    "InputXGradient",
    "IntegratedGradients",
    "InterpretableInput",
    "LayerAttribution",
    "NeuronAttribution",
    "NoiseTunnel",
    "PerturbationAttribution",
    "ProductBaselines",
    "Saliency",
    "TextTemplateInput",
    "TextTokenInput",
    "visualization",
]
