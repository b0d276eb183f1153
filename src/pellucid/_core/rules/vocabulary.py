"""What the engine knows about torch's operations, by name.

Each name stands in exactly one set. The sets are statements of mathematics, and a wrong entry in
`LINEAR` would be silently wrong: ``tests/rules/test_linear_operations.py`` proves every name in it.

Names are canonical: ``torch.relu``, ``Tensor.relu_``, ``torch.ops.aten.relu.default`` and the
``__iadd__`` family are all reduced to one word by `pellucid._core.rules.operation`.
"""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """The mathematical kind of an operation, which decides the rule that it gets."""

    INERT = "asks about a tensor and returns no values"
    LINEAR = "affine in its active operands"
    UNARY = "elementwise function of one operand"
    PRODUCT = "multilinear in its active operands"
    LAYER = "a product of which one operand is active: linear, with weights"
    SOFTMAX = "softmax, its logarithm, or the logarithm of its normaliser"
    CONVEX = "each output is a convex or concave function of the operands"
    ORDER = "selects by rank"
    COMPARE = "elementwise decision"
    DETACH = "cuts the graph and keeps the values"
    ESCAPE = "turns tensors into Python or NumPy values"
    REFUSED = "takes gradients, or replaces values behind autograd's back, inside the model"
    UNKNOWN = "in no table"

    __hash__ = object.__hash__  # members are single objects, and kinds are looked up at every call


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LINEAR = _words(
    """
    add sub subtract rsub __rsub__ neg negative positive sum mean cumsum diff trace conj real imag
    view view_as reshape reshape_as permute transpose t adjoint T mT H mH flatten unflatten ravel
    contiguous clone to type type_as float double half bfloat16 cpu cuda alias
    expand expand_as broadcast_to broadcast_tensors repeat tile repeat_interleave
    cat concat concatenate stack hstack vstack dstack column_stack meshgrid block_diag
    split split_with_sizes chunk tensor_split unsafe_chunk unsafe_split unbind hsplit vsplit dsplit
    narrow select slice select_scatter slice_scatter diagonal_scatter as_strided
    __getitem__ __setitem__ index_select gather take take_along_dim index_add index_put index_copy
    scatter scatter_add masked_fill masked_select masked_scatter where index_fill
    squeeze unsqueeze movedim moveaxis swapaxes swapdims atleast_1d atleast_2d atleast_3d
    flip fliplr flipud roll rot90 tril triu diag diagonal diag_embed diagflat
    pad constant_pad_nd unfold fold im2col col2im pixel_shuffle pixel_unshuffle channel_shuffle
    avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    interpolate upsample_nearest1d upsample_nearest2d upsample_nearest3d
    upsample_linear1d upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d
    dropout feature_dropout alpha_dropout feature_alpha_dropout
    copy_ zero_ fill_ normal_ uniform_
    view_as_real view_as_complex _pack_padded_sequence _pad_packed_sequence
    fft_fft fft_ifft fft_rfft fft_irfft fft_fft2 fft_ifft2 fft_rfft2 fft_irfft2 fft_fftn fft_ifftn
    stft istft affine_grid_generator
    fft_rfftn fft_irfftn fft_hfft fft_ihfft fft_fftshift fft_ifftshift
    """
)

MOVES = _words(
    """
    view view_as reshape reshape_as permute transpose t adjoint T mT H mH flatten unflatten ravel contiguous clone alias
    expand expand_as broadcast_to repeat tile repeat_interleave split split_with_sizes chunk tensor_split unsafe_chunk
    unsafe_split unbind hsplit vsplit dsplit narrow select __getitem__ index_select gather take take_along_dim squeeze
    unsqueeze movedim moveaxis swapaxes swapdims atleast_1d atleast_2d atleast_3d flip fliplr flipud roll rot90 diagonal
    pixel_shuffle pixel_unshuffle channel_shuffle
    """
)
"""Those linear operations whose results are values of their first operand in other places."""

UNARY = _words(
    """
    relu relu6 elu selu celu gelu silu mish leaky_relu prelu rrelu hardtanh hardswish hardsigmoid
    hardshrink softshrink tanhshrink threshold softplus softsign logsigmoid log_sigmoid
    sigmoid special_expit tanh exp exp2 special_exp2 expm1 special_expm1 log log1p special_log1p
    log2 log10 logit special_logit sqrt rsqrt reciprocal square pow __pow__ __rpow__ float_power
    abs absolute __abs__ sin cos tan sinh cosh asin acos atan asinh acosh atanh arcsin arccos arctan
    arcsinh arccosh arctanh erf erfc erfinv special_erf special_erfc special_erfinv special_erfcx
    special_ndtr special_ndtri special_log_ndtr lgamma digamma special_gammaln special_digamma
    special_i0 special_i0e special_i1 special_i1e i0 special_entr special_sinc sinc
    special_bessel_j0 special_bessel_j1
    clamp clamp_min clamp_max clip nan_to_num round floor ceil trunc fix frac sign sgn heaviside
    fmod remainder __mod__ floor_divide __floordiv__ xlogy special_xlogy special_xlog1py deg2rad rad2deg
    """
)

PRODUCT = _words(
    """
    mul multiply matmul __matmul__ __rmatmul__ mm bmm mv dot vdot inner outer ger linear bilinear
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution
    einsum addmm baddbmm addbmm addmv addr addcmul kron lerp cross linalg_cross linalg_vecdot
    linalg_matmul tensordot chain_matmul linalg_multi_dot _sparse_mm
    """
)

SOFTMAX = _words("softmax log_softmax logsumexp special_softmax special_log_softmax special_logsumexp")

CONVEX = _words(
    """
    max min amax amin maximum minimum fmax fmin cummax cummin logcumsumexp logaddexp logaddexp2 hypot
    max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices
    max_pool3d_with_indices adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    adaptive_max_pool1d_with_indices adaptive_max_pool2d_with_indices adaptive_max_pool3d_with_indices
    norm linalg_norm linalg_vector_norm dist pdist cdist pairwise_distance
    """
)

ORDER = _words("sort msort topk kthvalue median")

COMPARE = _words(
    """
    gt lt ge le eq ne greater less greater_equal less_equal not_equal isnan isinf isfinite isposinf
    isneginf signbit logical_not logical_and logical_or logical_xor bitwise_not bitwise_and
    bitwise_or bitwise_xor __and__ __or__ __xor__ __invert__ bool
    """
)

DETACH = _words("detach data")

ESCAPE = _words(
    """
    item tolist numpy __array__ __bool__ __int__ __float__ __index__ __complex__ __contains__
    equal allclose tensor
    """
)

REFUSED = _words("grad backward data.__set__ set_")

INERT = _words(
    """
    size dim stride numel nelement ndimension element_size data_ptr is_contiguous storage_offset
    is_floating_point is_complex is_signed is_pinned is_shared is_set_to is_same_size is_nonzero
    get_device has_names storage untyped_storage storage_type __len__ __hash__ __format__ __repr__
    result_type can_cast promote_types broadcast_shapes is_tensor is_inference register_hook
    requires_grad_ retain_grad
    zeros_like ones_like full_like empty_like rand_like randn_like randint_like new_zeros new_ones new_full
    new_empty new_empty_strided
    _is_view is_conj is_neg is_sparse sym_size dense_dim sparse_dim __dlpack_device__ __reversed_len__
    """
)

KINDS: dict[str, Kind] = {
    name: kind
    for kind, names in (
        (Kind.INERT, INERT),
        (Kind.LINEAR, LINEAR),
        (Kind.UNARY, UNARY),
        (Kind.PRODUCT, PRODUCT),
        (Kind.SOFTMAX, SOFTMAX),
        (Kind.CONVEX, CONVEX),
        (Kind.ORDER, ORDER),
        (Kind.COMPARE, COMPARE),
        (Kind.DETACH, DETACH),
        (Kind.ESCAPE, ESCAPE),
        (Kind.REFUSED, REFUSED),
    )
    for name in names
}

# Elementwise operations keep a value inside its elementwise region (see regions.py). Where two members
# of one region meet in one of MEETING, the result is a single unary function of the region's root.
MEETING = _words(
    """
    mul multiply div divide true_divide __truediv__ __rdiv__ __rtruediv__ where masked_fill maximum minimum
    fmax fmin pow __pow__ lerp addcmul
    """
)
ELEMENTWISE = (
    UNARY
    | COMPARE
    | MEETING
    | DETACH
    | _words(
        """add sub subtract rsub __rsub__ neg negative positive clone contiguous to type type_as float double
        half bfloat16"""
    )
)

# Elementwise functions that torch writes in Python around one call of the same name, and around nothing else:
# seen as a whole, one call is spared.
WRAPPERS = _words("celu elu hardsigmoid hardswish hardtanh leaky_relu mish relu relu6 rrelu selu sigmoid silu tanh")

# Getters of torch.Tensor (``x.shape``, ``x.mT``) that return values rather than facts about the tensor.
VALUE_GETTERS = _words("T mT H mH real imag data")

# Operations that write into their first operand although their name does not end in one underscore.
WRITING = _words("__setitem__ copy_ zero_ fill_ normal_ uniform_")
