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
from pellucid.attr.dataloader import DataLoaderAttribution, InputRole
from pellucid.attr.deep_lift import DeepLift
from pellucid.attr.deep_lift_shap import DeepLiftShap
from pellucid.attr.feature_ablation import FeatureAblation
from pellucid.attr.feature_permutation import FeaturePermutation
from pellucid.attr.gradient_shap import GradientShap
from pellucid.attr.guided import Deconvolution, GuidedBackprop
from pellucid.attr.input_x_gradient import InputXGradient
from pellucid.attr.integrated_gradients import IntegratedGradients
from pellucid.attr.kernel_shap import KernelShap
from pellucid.attr.lime import Lime, LimeBase, get_exp_kernel_similarity_function
from pellucid.attr.lrp import LRP
from pellucid.attr.noise_tunnel import NoiseTunnel
from pellucid.attr.occlusion import Occlusion
from pellucid.attr.owen_values import OwenValues
from pellucid.attr.saliency import Saliency
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
    "InputRole",
    "InputXGradient",
    "IntegratedGradients",
    "KernelShap",
    "LayerAttribution",
    "Lime",
    "LimeBase",
    "Max",
    "Mean",
    "Min",
    "NeuronAttribution",
    "NoiseTunnel",
    "Occlusion",
    "OwenValues",
    "PerturbationAttribution",
    "Saliency",
    "ShapleyInteractions",
    "ShapleyValueSampling",
    "ShapleyValues",
    "StatValue",
    "StdDev",
    "Sum",
    "Summarizer",
    "SummarizerSingleTensor",
    "Var",
    "get_exp_kernel_similarity_function",
    "quad_tree",
    "visualization",
]
