"""LIME: its laws, its pieces of one's own, and the models that it fits."""

import pytest
import torch

import pellucid
from pellucid._core.neighbourhood import draw_masks
from pellucid._core.surrogate import Lasso, LeastSquares, fit_surrogates
from pellucid.attr import Lime, LimeBase, get_exp_kernel_similarity_function, models
from pellucid.errors import InvalidTypeError, InvalidValueError
from tests.models import DOUBLE, TwoInputs, cnn, mlp
from tests.reference.regressions import all_coalitions, weighted_linear

EVERY = LeastSquares()


@pytest.fixture
def x(generator):
    return torch.randn(3, 6, dtype=DOUBLE, generator=generator)


def perturbed(x, base):
    """All coalitions of one example's features, and the inputs under them."""
    members = all_coalitions(x.shape[1])
    return members, torch.where(members, x, base)


# -- laws


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_all_coalitions_give_the_weighted_regression(x, distance):
    base = torch.linspace(-1, 2, 6, dtype=DOUBLE)[None]
    similarity = get_exp_kernel_similarity_function(distance, 0.8)
    found = Lime(mlp(6), EVERY, similarity).attribute(x, base, target=[0, 2, 1])
    for i, target in enumerate((0, 2, 1)):
        members, rows = perturbed(x[i : i + 1], base)
        other = x[i].expand_as(rows)
        size = (rows - other).norm(dim=1) if distance == "euclidean" else 1 - torch.cosine_similarity(rows, other)
        weights = (-(size**2) / (2 * 0.8**2)).exp()
        assert torch.allclose(found[i], weighted_linear(members, mlp(6)(rows)[:, target], weights)[1:], atol=1e-12)


def test_a_similarity_of_ones_own_is_that_of_the_library_when_it_computes_the_same(x):
    def similarity(original, other, interpretable, **keywords):
        assert interpretable.shape == (1, 6)
        assert keywords["num_interp_features"] == 6
        return (-((1 - torch.cosine_similarity(original, other, dim=1)) ** 2) / 2).exp()

    expected = Lime(mlp(6), EVERY).attribute(x, 0.3, target=1, n_samples=30, seed=1)
    found = Lime(mlp(6), EVERY, similarity).attribute(x, 0.3, target=1, n_samples=30, seed=1)
    assert torch.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("features", [1, 2, 3, 5, 9, 40])
@pytest.mark.parametrize("model", [EVERY, models.SkLearnLinearRegression()])
def test_linear_and_additive_models_are_exact_from_one_sample_more_than_features(features, model, generator):
    x = torch.randn(2, features, dtype=DOUBLE, generator=generator)
    base = torch.randn(2, features, dtype=DOUBLE, generator=generator)
    additive = lambda v: (v.sin() * torch.arange(1, features + 1)).sum(1) + 2  # noqa: E731
    for seed in range(4):
        found = quiet(lambda s=seed: Lime(additive, model).attribute(x, base, n_samples=features + 1, seed=s))
        expected = (x.sin() - base.sin()) * torch.arange(1, features + 1)
        assert torch.allclose(found, expected, atol=1e-9)


def quiet(call):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


@pytest.mark.parametrize("scale", [0.005, -3.0, 2.0**-20])
def test_scaling_the_model_scales_the_attributions(x, scale):
    found = Lime(lambda v: scale * mlp(6)(v)).attribute(x, target=0, n_samples=40, seed=1)
    assert torch.allclose(found, scale * Lime(mlp(6)).attribute(x, target=0, n_samples=40, seed=1), rtol=1e-9)
    shifted = Lime(lambda v: mlp(6)(v) + 7).attribute(x, target=0, n_samples=40, seed=1)
    assert torch.allclose(shifted, Lime(mlp(6)).attribute(x, target=0, n_samples=40, seed=1), atol=1e-12)


def test_a_constant_model_gets_zeros(x):
    with pellucid.recording() as report:
        assert not Lime(lambda v: 0 * v[:, 0] + 3.0).attribute(x).any()
    assert torch.equal(report.fit, torch.ones(3, dtype=DOUBLE))


def test_a_batch_equals_its_examples_and_its_outputs(x):
    together = Lime(mlp(6)).attribute(x, target=[0, 2, 1], n_samples=40, seed=3)
    for i, target in enumerate((0, 2, 1)):
        alone = Lime(mlp(6)).attribute(x[i : i + 1], target=target, n_samples=40, seed=3)
        assert torch.allclose(together[i], alone[0], atol=1e-12)
    every = Lime(mlp(6)).attribute(x, n_samples=40, seed=3)
    assert every.shape == (3, 3, 6)
    assert torch.allclose(every[[0, 1, 2], [0, 2, 1]], together, atol=1e-12)


def test_fit_and_errors_are_reported(x, generator):
    wide = torch.randn(2, 14, dtype=DOUBLE, generator=generator)
    with pellucid.recording() as report:
        found = Lime(mlp(14), EVERY).attribute(wide, target=0, seed=1)
    exact = Lime(mlp(14), EVERY).attribute(wide, target=0, n_samples=2**14)
    assert report.samples == 280
    assert ((report.fit > 0.2) & (report.fit < 1)).all()
    assert ((found - exact).abs() <= 4 * report.standard_error[0]).all()
    explanation = pellucid.explain(mlp(14), wide, method="lime", target=0, seed=1)
    assert explanation.fit.shape == (2,)


def test_intervals_cover_the_surrogate_of_all_coalitions():
    covered = total = 0
    for seed in range(25):
        x = torch.randn(1, 11, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))
        model = lambda v, s=seed: (mlp(11)(3 * v)[:, 0] * (1 + s % 3)).sin()  # noqa: E731
        exact = Lime(model).attribute(x, n_samples=2**11)
        with pellucid.recording() as report:
            found = quiet(lambda m=model, v=x, s=seed: Lime(m).attribute(v, seed=s))
        covered += int(((found - exact).abs() <= 1.66 * report.standard_error[0]).sum())
        total += 11
    assert 0.85 <= covered / total <= 0.95


def test_a_call_can_be_continued_and_goes_on_until_the_tolerance(generator):
    x = torch.randn(2, 14, dtype=DOUBLE, generator=generator)
    method = Lime(mlp(14))
    with pellucid.recording() as first:
        method.attribute(x, target=0, n_samples=150, seed=2)
    with pellucid.recording() as second:
        found = method.attribute(x, target=0, n_samples=50, start_from=first.state)
    assert second.rows <= 2 * (50 + 4)
    assert torch.equal(found, method.attribute(x, target=0, n_samples=200, seed=2))
    with pellucid.recording() as report:
        method.attribute(x, target=0, tolerance=2e-3, seed=2, n_samples=60)
    assert report.standard_error[0].max() <= 2e-3


def test_inputs_and_masks_of_every_kind(generator):
    a = torch.randn(3, 3, dtype=DOUBLE, generator=generator)
    b = torch.rand(3, 2, 2, dtype=DOUBLE, generator=generator)
    masks = torch.tensor([3, 4, 4]), torch.tensor([[9, 9], [4, 7]])
    found = Lime(TwoInputs(), EVERY).attribute((a, b), (0.2, 0.1), target=1, feature_mask=masks)
    assert [f.shape for f in found] == [a.shape, b.shape]
    assert torch.equal(found[0][:, 1], found[0][:, 2])
    assert torch.equal(found[0][:, 1], found[1][:, 1, 0])
    kernel = get_exp_kernel_similarity_function()
    slow = Lime(TwoInputs(), EVERY, lambda o, p, i, **_: kernel(o, p, i))
    for f, e in zip(slow.attribute((a, b), (0.2, 0.1), target=1, feature_mask=masks), found, strict=True):
        assert torch.allclose(f, e, atol=1e-12)
    flat = Lime(TwoInputs(), EVERY).attribute(
        (a, b), (0.2, 0.1), target=1, feature_mask=masks, return_input_shape=False
    )
    assert flat.shape == (3, 4)
    own = torch.stack([torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), torch.tensor([1, 0, 1])])
    per_example = Lime(mlp(3), EVERY).attribute(a, target=0, feature_mask=own)
    for i in range(3):
        alone = Lime(mlp(3), EVERY).attribute(a[i : i + 1], target=0, feature_mask=own[i])
        assert torch.allclose(per_example[i], alone[0], atol=1e-12)
    whole = quiet(lambda: Lime(lambda v: v.sum() ** 2, EVERY).attribute(a))
    assert whole.shape == (1, 3)
    images = torch.randn(2, 2, 6, 6, dtype=DOUBLE, generator=generator)
    mask = torch.arange(36).reshape(6, 6) // 6
    assert Lime(cnn()).attribute(images, target=0, feature_mask=mask).shape == images.shape


# -- draws


@pytest.mark.parametrize("players", [1, 2, 3, 6, 30])
def test_masks_are_distinct_and_determine_the_surrogate(players):
    for count in (players + 1, 2 * players + 3, 400):
        for seed in range(20):
            drawn = draw_masks(players, count, seed)
            assert len(drawn) == min(count, 2**players)
            assert len(drawn.unique(dim=0)) == len(drawn)
            rows = torch.cat([drawn.double(), torch.ones(len(drawn), 1, dtype=DOUBLE)], dim=1)
            assert torch.linalg.matrix_rank(rows) == players + 1


def test_samples_of_ones_own(x):
    def sampler(original, **keywords):
        assert original is x
        for row in all_coalitions(keywords["num_interp_features"]):
            yield row[None].float()

    found = Lime(mlp(6), EVERY, perturb_func=sampler).attribute(x, target=0, n_samples=64)
    assert torch.allclose(found, Lime(mlp(6), EVERY).attribute(x, target=0), atol=1e-12)
    twice = Lime(mlp(6), EVERY, perturb_func=lambda v, **k: (row for _ in range(2) for row in all_coalitions(6)))
    with pellucid.recording() as report:
        assert torch.allclose(twice.attribute(x, target=0, n_samples=128), found, atol=1e-12)
    assert report.samples == 128
    assert report.rows <= 3 * 70
    drawn = Lime(mlp(6), EVERY, perturb_func=lambda v, **k: torch.rand(1, 6) < 0.8)
    assert drawn.attribute(x, target=0, n_samples=60).shape == x.shape
    with pytest.raises(InvalidValueError, match="perturb_func is one that returned a sample"):
        Lime(mlp(6), perturb_func=lambda v, **k: torch.full((1, 6), 0.5)).attribute(x, target=0)


# -- fits


def tilted(rows, features, examples, outputs, seed):
    source = torch.Generator().manual_seed(seed)
    members = draw_masks(features, rows, seed)
    weights = torch.rand(len(members), examples, dtype=DOUBLE, generator=source) + 0.2
    truth = torch.randn(features, examples, outputs, dtype=DOUBLE, generator=source)
    noise = torch.randn(len(members), examples, outputs, dtype=DOUBLE, generator=source)
    return members, weights, torch.einsum("mn,nev->mev", members.double(), truth) + 0.5 * noise


@pytest.mark.parametrize(("rows", "features"), [(100, 8), (30, 20), (21, 20), (15, 30)])
@pytest.mark.parametrize("share", [0.01, 0.3])
def test_the_lasso_is_that_of_scikit_learn(rows, features, share):
    from sklearn.linear_model import Lasso as Reference

    members, weights, values = tilted(rows, features, 2, 2, rows)
    found = fit_surrogates(members, weights, values, Lasso(share), 0.0)
    for e in range(2):
        own = weights[:, e] / weights[:, e].sum()
        for v in range(2):
            y = values[:, e, v]
            present = members.double()
            cross = ((present - own @ present) * own[:, None]).T @ (y - own @ y)
            model = Reference(alpha=share * float(cross.abs().max()), tol=1e-14, max_iter=500_000)
            quiet(lambda y=y, m=model, w=weights[:, e]: m.fit(members.double().numpy(), y.numpy(), w.numpy()))
            coefficients = torch.as_tensor(model.coef_)
            assert torch.allclose(found.coefficients[:, e, v], coefficients, atol=1e-6)
            assert abs(float(found.intercepts[e, v]) - model.intercept_) < 1e-6
            predicted = members.double() @ coefficients + model.intercept_
            left, spread = own @ (y - predicted) ** 2, own @ (y - own @ y) ** 2
            assert abs(found.fit[e, v] - (1 - left / spread)) < 1e-6


@pytest.mark.parametrize("ridge", [0.0, 0.5])
@pytest.mark.parametrize(("rows", "features"), [(60, 8), (12, 30)])
def test_least_squares_with_and_without_a_ridge(rows, features, ridge):
    members, weights, values = tilted(rows, features, 2, 1, 3)
    found = fit_surrogates(members, weights, values, LeastSquares(ridge), 0.0)
    for e in range(2):
        own = weights[:, e] / weights[:, e].sum()
        centred = members.double() - own @ members.double()
        gram = centred.T @ (own[:, None] * centred)
        system = gram + ridge * gram.diagonal().mean() * torch.eye(features)
        expected = torch.linalg.pinv(system, rtol=1e-12) @ (centred.T @ (own * values[:, e, 0]))
        assert torch.allclose(found.coefficients[:, e, 0], expected, atol=1e-10)


MODELS = {
    "lasso": (models.SkLearnLasso(alpha=1e-9), models.SGDLasso(alpha=1e-9), 1e-4),
    "ridge": (models.SkLearnRidge(alpha=1e-9), models.SGDRidge(alpha=1e-9), 1e-4),
    "plain": (models.SkLearnLinearRegression(), models.SGDLinearRegression(), 1e-4),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_of_scikit_learn_and_by_gradients(name, x):
    reference, trained, tolerance = MODELS[name]
    expected = Lime(mlp(6), EVERY).attribute(x[:1], target=0)
    assert torch.allclose(Lime(mlp(6), reference).attribute(x[:1], target=0), expected, atol=tolerance)
    assert torch.allclose(Lime(mlp(6), trained).attribute(x[:1], target=0), expected, atol=tolerance)
    assert trained.bias().shape == (1,)
    with pellucid.recording() as report:
        Lime(mlp(6), reference).attribute(x[:1], target=0)
    assert 0 < float(report.fit) <= 1


@pytest.mark.parametrize("model", [models.SkLearnLogisticRegression(), models.SkLearnSGDClassifier(random_state=0)])
def test_classifiers_explain_labels(model, x):
    found = Lime(lambda v: (v[:, :2].sum(1) > 0.1).long(), model).attribute(x[:1].abs())
    assert found[0, :2].min() > found[0, 2:].abs().max()
    assert model.classes().tolist() == [0, 1]


class MeanDifference(models.Model):
    """A model of one's own: how much the values differ with and without each feature."""

    def fit(self, train_data, **kwargs):
        (members, values, weights) = next(iter(train_data))
        share = lambda m: (m * weights[:, None]) / (m * weights[:, None]).sum(0)  # noqa: E731
        self.found = (share(members) - share(1 - members)).T @ values

    def representation(self):
        return self.found[None]

    def __call__(self, x, *args, **kwargs):
        return x @ self.found


def test_a_model_of_ones_own(x):
    found = Lime(lambda v: v.sum(1), MeanDifference(), lambda *a, **k: 1.0).attribute(x)
    assert torch.allclose(found, x, atol=1e-12)


# -- LimeBase


def base_lime(forward, model, interpretable):
    """LIME on words that can be dropped, in both ways to draw samples."""
    draw = torch.Generator().manual_seed(0)
    corners = lambda v, **_: (torch.rand(1, v.shape[1], generator=draw) < 0.5).to(v)  # noqa: E731
    return LimeBase(
        forward,
        model,
        lambda original, other, z, **_: torch.tensor([1.0]),
        corners if interpretable else lambda v, **k: v * corners(v),
        interpretable,
        (lambda z, original, **_: z * original) if interpretable else None,
        None if interpretable else (lambda v, original, **_: (v != 0).to(v)),
    )


@pytest.mark.parametrize("interpretable", [True, False])
@pytest.mark.parametrize("model", [EVERY, models.SkLearnLinearRegression()])
def test_lime_base_from_samples_in_either_space(interpretable, model, x):
    lime = base_lime(lambda v: v.sin().sum(1), model, interpretable)
    found = lime.attribute(x[:1], n_samples=50)
    assert torch.allclose(found, x[:1].sin(), atol=1e-10)


def test_lime_base_evaluates_samples_of_other_shapes_one_by_one():
    """Words are dropped, not replaced: each sample is as long as it has words."""
    words = torch.tensor([[3.0, 5.0, 2.0, 7.0]])
    calls = []

    def count(v):
        calls.append(v.shape)
        return v.sum(1) if v.shape[1] else torch.zeros(1)

    source = (row[None].float() for row in all_coalitions(4))
    lime = LimeBase(count, EVERY, lambda *_, **__: 1.0, lambda v: source, True, lambda z, v: v[:, z[0].bool()], None)
    assert torch.allclose(lime.attribute(words, n_samples=16), words, atol=1e-5)
    assert len(calls) == 17
    batched = base_lime(lambda v: v.sum(1), EVERY, True)
    with pellucid.recording() as report:
        batched.attribute(words, n_samples=64)
    assert report.calls <= 5


def test_what_cannot_be_used_is_refused(x):
    with pytest.raises(InvalidTypeError, match=r"interpretable_model is a .*made"):
        Lime(mlp(6), models.SkLearnLasso)
    with pytest.raises(InvalidValueError, match="share is 1"):
        Lasso(1)
    with pytest.raises(InvalidValueError, match="ridge is -1"):
        LeastSquares(-1)
    with pytest.raises(InvalidValueError, match="distance_mode is 'manhattan'"):
        get_exp_kernel_similarity_function("manhattan")
    with pytest.raises(InvalidValueError, match="kernel_width is 0"):
        get_exp_kernel_similarity_function(kernel_width=0)
    with pytest.raises(InvalidTypeError, match="from_interp_rep_transform is a NoneType"):
        LimeBase(mlp(6), EVERY, len, len, True, None, None)
    with pytest.raises(InvalidValueError, match="similarity_func is one that returned weights"):
        Lime(mlp(6), similarity_func=lambda *_, **__: -1.0).attribute(x, target=0)
    with pytest.raises(InvalidValueError, match="inputs is with 3 values to explain"):
        base_lime(lambda v: v.sum(1), EVERY, True).attribute(x)
    with pytest.raises(InvalidValueError, match="no standard errors"):
        Lime(mlp(6), models.SkLearnRidge()).attribute(x, target=0, tolerance=0.1)
    with pytest.raises(TypeError, match="taget"):
        Lime(mlp(6)).attribute(x, taget=0)


@pytest.mark.parametrize("name", ["Lime", "LimeBase"])
def test_as_captum_with_all_samples_and_one_surrogate(name, x):
    """Nothing is left to chance, and without a penalty nothing depends on its size; Captum answers in float32."""
    captum = pytest.importorskip("captum.attr")
    theirs = pytest.importorskip("captum._utils.models.linear_model").SkLearnLinearRegression()
    base = torch.linspace(-1, 2, 6, dtype=DOUBLE)[None]

    def every(_, **_more):
        yield from (row[None].float() for row in all_coalitions(6))

    def weight(_, __, z, **_more):
        return torch.exp((z.sum() - 6) / 5)

    def mixed(z, original, **_):
        return torch.where(z.bool(), original, base)

    def explained(library, surrogate):
        if name == "Lime":
            method = library.Lime(mlp(6), interpretable_model=surrogate, perturb_func=every)
            return method.attribute(x[:1], base, target=1, n_samples=64)
        return library.LimeBase(mlp(6), surrogate, weight, every, True, mixed, None).attribute(
            x[:1], target=1, n_samples=64
        )

    found = explained(pellucid.attr, models.SkLearnLinearRegression())
    assert torch.allclose(found, explained(captum, theirs).double(), atol=1e-6)
    assert found.abs().min() > 1e-4


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"similarity_func": 0}, InvalidTypeError, "similarity_func is a int"),
        ({"perturb_func": 0}, InvalidTypeError, "perturb_func is a int"),
        ({"similarity_func": lambda *_, **__: None}, InvalidTypeError, "returned a NoneType"),
        ({"similarity_func": lambda *_, **__: torch.ones(2)}, InvalidTypeError, "one weight"),
        ({"similarity_func": lambda *_, **__: 10**400}, InvalidValueError, "weights are finite"),
        ({"perturb_func": lambda *_, **__: slice(1)}, InvalidTypeError, "returned a slice"),
        ({"perturb_func": lambda *_, **__: 2**64}, InvalidTypeError, "returned a int"),
    ],
)
def test_functions_that_give_no_samples_or_weights(settings, error, words):
    with pytest.raises(error, match=words):
        Lime(lambda v: v.sum(1), **settings).attribute(torch.ones(2, 3), n_samples=6, seed=1)


def test_inputs_without_dimensions_beside_their_examples():
    x = torch.tensor([0.5, -2.0, 3.0], dtype=DOUBLE)
    found = Lime(lambda v: 2 * v + 1, models.SkLearnLinearRegression()).attribute(x, seed=1)
    assert torch.allclose(found, 2 * x, atol=1e-6)


def test_standard_errors_are_those_of_fits_without_each_row(generator):
    """Each row's influence times its residual in a fit without it, for the share of coalitions that was not drawn."""
    rows, features = 20, 4
    coalitions = torch.rand(rows, features, generator=generator) < 0.5
    weights = torch.rand(rows, 1, generator=generator, dtype=DOUBLE) + 0.5
    values = torch.randn(rows, 1, 1, generator=generator, dtype=DOUBLE)
    found = fit_surrogates(coalitions, weights, values, EVERY, 0.25)
    w = (weights / weights.sum())[:, 0]
    y, z = values[:, 0, 0], torch.cat([torch.ones(rows, 1, dtype=DOUBLE), coalitions.double()], 1)

    def fit(keep):
        gram = z[keep].T @ (w[keep, None] * z[keep])
        return torch.linalg.solve(gram, z[keep].T @ (w[keep] * y[keep]))

    influence = w[:, None] * (z @ torch.linalg.inv(z.T @ (w[:, None] * z)))
    total = torch.zeros(features + 1, dtype=DOUBLE)
    for i in range(rows):
        left_out = y[i] - z[i] @ fit(torch.arange(rows) != i)
        total += (influence[i] * left_out) ** 2
    assert torch.allclose(found.errors[:, 0, 0], (0.75 * total[1:]).sqrt(), atol=1e-10)


def test_no_sample_at_all_is_refused(x):
    with pytest.raises(InvalidValueError, match="perturb_func is one that yields nothing"):
        Lime(mlp(6), EVERY, perturb_func=lambda *_, **__: iter([])).attribute(x[:2], target=0, n_samples=8)


def test_a_row_that_alone_tells_a_coefficient_leaves_its_error_unknown():
    """Without the one row that lacks the first feature, that and the intercept could not be told apart."""
    coalitions = all_coalitions(4).repeat(2, 1)
    coalitions[:, 0] = True
    coalitions[3, 0] = False
    values = coalitions.double().sum(1).sin()[:, None, None]
    found = fit_surrogates(coalitions, torch.ones(32, 1), values, EVERY, 0.25)
    assert found.errors.isinf().all()


@pytest.mark.parametrize("hidden", [torch.inf, -torch.inf, torch.nan])
def test_values_that_are_not_finite_take_no_part_in_distances(hidden):
    """Padding counts as zero for the similarity, on both sides."""
    x = torch.tensor([[0.5, -2.0, 3.0, hidden]], dtype=DOUBLE)
    model = lambda v: torch.sin(v[:, :3]).prod(1)  # noqa: E731
    base = torch.tensor([[0.1, 0.2, -0.3, hidden]], dtype=DOUBLE)
    mask = torch.tensor([[0, 1, 2, 2]])
    found = Lime(model, EVERY).attribute(x, base, feature_mask=mask)[:, :3]
    assert torch.allclose(found, Lime(model, EVERY).attribute(x[:, :3], base[:, :3]), atol=1e-12)


def test_weights_with_a_graph_are_numbers_as_any_other(generator):
    x = torch.randn(1, 6, dtype=DOUBLE, generator=generator)
    width = torch.tensor(0.7, dtype=DOUBLE, requires_grad=True)

    def learned(original, other, representation, **_):
        return torch.exp(-(original - other).square().sum() / width)

    def fixed(*args, **kwargs):
        return learned(*args, **kwargs).detach()

    found, expected = (
        Lime(mlp(6), similarity_func=f).attribute(x, target=0, n_samples=40, seed=1) for f in (learned, fixed)
    )
    assert torch.equal(found, expected)
