"""Attribution methods, under the names and with the arguments that PyTorch users know."""

from pellucid import visualization as visualization
from pellucid._core.owen import quad_tree
from pellucid.attr.attribution import (
    Attribution,
    GradientAttribution,
    LayerAttribution,
    NeuronAttribution,
    PerturbationAttribution,
)
from pellucid.attr.conductance import InternalInfluence, LayerConductance, NeuronConductance
from pellucid.attr.dataloader import DataLoaderAttribution, InputRole
from pellucid.attr.deep_lift import DeepLift, LayerDeepLift, NeuronDeepLift
from pellucid.attr.deep_lift_shap import DeepLiftShap, LayerDeepLiftShap, NeuronDeepLiftShap
from pellucid.attr.feature_ablation import FeatureAblation, LayerFeatureAblation, NeuronFeatureAblation
from pellucid.attr.feature_permutation import FeaturePermutation, LayerFeaturePermutation
from pellucid.attr.grad_cam import GuidedGradCam, LayerGradCam
from pellucid.attr.gradient_shap import GradientShap, LayerGradientShap, NeuronGradientShap
from pellucid.attr.guided import Deconvolution, GuidedBackprop, NeuronDeconvolution, NeuronGuidedBackprop
from pellucid.attr.image_mask import ImageMaskInput
from pellucid.attr.input_x_gradient import InputXGradient
from pellucid.attr.integrated_gradients import IntegratedGradients, LayerIntegratedGradients, NeuronIntegratedGradients
from pellucid.attr.interpretable import InterpretableInput, ProductBaselines, TextTemplateInput, TextTokenInput
from pellucid.attr.kernel_shap import KernelShap
from pellucid.attr.layer_activation import LayerActivation, LayerGradientXActivation
from pellucid.attr.lime import Lime, LimeBase, get_exp_kernel_similarity_function
from pellucid.attr.lrp import LRP, LayerLRP
from pellucid.attr.noise_tunnel import NoiseTunnel
from pellucid.attr.occlusion import Occlusion
from pellucid.attr.owen_values import OwenValues
from pellucid.attr.saliency import NeuronGradient, Saliency
from pellucid.attr.shapley_interactions import ShapleyInteractions
from pellucid.attr.shapley_values import ShapleyValues, ShapleyValueSampling
from pellucid.attr.statistics import (
    MSE,
    ClassSummarizer,
    CommonStats,
    Count,
    Max,
    Mean,
    Min,
    StatValue,
    StdDev,
    Sum,
    Summarizer,
    SummarizerSingleTensor,
    Var,
)

__all__ = [
    "LRP",
    "MSE",
    "Attribution",
    "ClassSummarizer",
    "CommonStats",
    "Count",
    "DataLoaderAttribution",
    "Deconvolution",
    "DeepLift",
    "DeepLiftShap",
    "FeatureAblation",
    "FeaturePermutation",
    "GradientAttribution",
    "GradientShap",
    "GuidedBackprop",
    "GuidedGradCam",
    "ImageMaskInput",
    "InputRole",
    "InputXGradient",
    "IntegratedGradients",
    "InternalInfluence",
    "InterpretableInput",
    "KernelShap",
    "LayerActivation",
    "LayerAttribution",
    "LayerConductance",
    "LayerDeepLift",
    "LayerDeepLiftShap",
    "LayerFeatureAblation",
    "LayerFeaturePermutation",
    "LayerGradCam",
    "LayerGradientShap",
    "LayerGradientXActivation",
    "LayerIntegratedGradients",
    "LayerLRP",
    "Lime",
    "LimeBase",
    "Max",
    "Mean",
    "Min",
    "NeuronAttribution",
    "NeuronConductance",
    "NeuronDeconvolution",
    "NeuronDeepLift",
    "NeuronDeepLiftShap",
    "NeuronFeatureAblation",
    "NeuronGradient",
    "NeuronGradientShap",
    "NeuronGuidedBackprop",
    "NeuronIntegratedGradients",
    "NoiseTunnel",
    "Occlusion",
    "OwenValues",
    "PerturbationAttribution",
    "ProductBaselines",
    "Saliency",
    "ShapleyInteractions",
    "ShapleyValueSampling",
    "ShapleyValues",
    "StatValue",
    "StdDev",
    "Sum",
    "Summarizer",
    "SummarizerSingleTensor",
    "TextTemplateInput",
    "TextTokenInput",
    "Var",
    "get_exp_kernel_similarity_function",
    "quad_tree",
    "visualization",
]
