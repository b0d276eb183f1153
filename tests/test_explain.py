"""``explain`` and ``Explanation``: the rich result, on disk and back."""

import json

import numpy as np
import pytest
import torch

import pellucid
from pellucid.attr import LRP, IntegratedGradients, NoiseTunnel, Saliency
from pellucid.errors import InvalidTypeError, InvalidValueError, PellucidError, TrainingModeWarning
from pellucid.scopes import AT_LAYER
from tests.models import DOUBLE, Output, TwoInputs, cnn, mlp


@pytest.fixture
def x(generator):
    return torch.randn(3, 5, dtype=DOUBLE, generator=generator)


def test_the_predicted_class_is_taken_and_recorded(x):
    model = mlp()
    explanation = pellucid.explain(model, x)
    assert torch.equal(explanation.target, model(x).argmax(1))
    assert torch.equal(explanation.outputs, model(x).detach())
    expected, delta = IntegratedGradients(model).attribute(x, target=model(x).argmax(1), return_convergence_delta=True)
    assert torch.equal(explanation.attributions, expected)
    assert torch.equal(explanation.delta, delta)
    assert explanation.n_steps == 50
    assert explanation.method == "integrated_gradients"
    assert torch.equal(explanation.baselines, torch.zeros(1, 1, dtype=DOUBLE))


def test_one_output_per_example_needs_no_target(x):
    assert pellucid.explain(lambda v: (v**2).sum(1), x).target is None
    assert pellucid.explain(lambda v: (v**2).sum(1, keepdim=True), x).target is None


@pytest.mark.parametrize(
    "labels",
    [
        *({"names": value} for value in (3, "abcde", np.array(1))),
        *({"tokens": value} for value in (3, "abc", [0, 0, 0], ["a", "b", "c"], [np.array(1)] * 3)),
    ],
)
def test_labels_that_are_no_lists_are_refused(labels, x):
    (name,) = labels
    with pytest.raises(InvalidTypeError, match=rf"{name} is a .*Pass a list of"):
        pellucid.explain(mlp(), x, "saliency", **labels)


@pytest.mark.parametrize("target", [1, [0, 1, 2], torch.tensor([0, 1, 2]), (1,)])
def test_a_given_target_stays(x, target):
    explanation = pellucid.explain(mlp(), x, target=target, method="saliency")
    assert torch.equal(explanation.attributions, Saliency(mlp()).attribute(x, target=target))


def test_cost_counts_every_row_that_the_model_sees(x):
    rows, model = [], mlp()

    def counting(v):
        rows.append(len(v))
        return model(v)

    for method in ("saliency", "integrated_gradients", "smoothgrad"):
        rows.clear()
        explanation = pellucid.explain(counting, x, method=method)
        assert explanation.cost.rows == sum(rows)
        assert explanation.cost.calls == len(rows)
        assert explanation.cost.seconds > 0


def test_steps_are_reported_per_example(x):
    explanation = pellucid.explain(mlp(), x, n_steps="auto", tolerance=1e-6)
    assert explanation.n_steps.shape == (3,)
    assert (explanation.delta.abs() < 1e-5).all()


@pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")
def test_standard_errors_of_sampling_methods(x):
    explanation = pellucid.explain(mlp(), x, method="gradient_shap", baselines=torch.zeros(4, 5, dtype=DOUBLE), seed=1)
    assert explanation.standard_error.shape == x.shape
    assert explanation.delta is None
    many = pellucid.explain(mlp(), x, method="gradient_shap", baselines=0.0, n_samples=200, seed=1)
    assert many.standard_error.mean() < explanation.standard_error.mean()
    assert pellucid.explain(mlp(), x, method="smoothgrad", seed=1).standard_error.shape == x.shape


def test_rule_based_methods_carry_their_certificate(x):
    explanation = pellucid.explain(mlp(), x, method="deep_lift")
    assert {row.operation for row in explanation.certificate.operations} >= {"linear", "tanh"}
    assert not explanation.certificate.switches
    assert explanation.delta.abs().max() < 1e-12
    assert pellucid.explain(mlp(), x).certificate is None


def test_a_certificate_does_not_depend_on_chunks(x):
    whole = pellucid.explain(mlp(), x, method="deep_lift").certificate
    parts = pellucid.explain(mlp(), x, method="deep_lift", internal_batch_size=1).certificate
    assert {(r.operation, r.rule, r.calls) for r in whole.operations} == {
        (r.operation, r.rule, r.calls) for r in parts.operations
    }


def test_an_audit_does_not_depend_on_chunks(x):
    """The rows that only check whether a batch may be cut are not booked."""
    books = []
    for cap in (None, 2, 1):
        with pellucid.recording() as report:
            LRP(mlp()).attribute(x, target=0, audit=True, internal_batch_size=cap)
        books.append(report.audit)
    for cut in books[1:]:
        assert cut.explained == pytest.approx(books[0].explained, abs=1e-12)
        assert cut.attributed == pytest.approx(books[0].attributed, abs=1e-12)
        assert [r.amount for r in cut.rows] == pytest.approx([r.amount for r in books[0].rows], abs=1e-12)


def test_warnings_become_data(x):
    model = torch.nn.Sequential(mlp(), torch.nn.Dropout(0.0)).train()
    with pytest.warns(TrainingModeWarning):
        explanation = pellucid.explain(model, x, target=0)
    assert [w.category for w in explanation.warnings] == ["TrainingModeWarning"]
    assert "eval()" in explanation.warnings[0].message


def test_a_method_made_by_the_user(x):
    explanation = pellucid.explain(
        mlp(), x, method=lambda m: NoiseTunnel(IntegratedGradients(m)), nt_samples=3, stdevs=0.0, n_steps=20
    )
    assert torch.allclose(explanation.attributions, pellucid.explain(mlp(), x, n_steps=20).attributions, atol=1e-14)
    assert pellucid.explain(mlp(), x, method=Saliency).method == "Saliency"


def test_a_named_output(x):
    model = mlp()

    def two(v):
        return Output(model(v) * 0, model(v))

    explanation = pellucid.explain(two, x, method="saliency", output="logits")
    assert torch.equal(explanation.attributions, pellucid.explain(model, x, method="saliency").attributions)


def needed(info, x):
    """What a method needs to be told, or to sample well, for five features."""
    arguments = {"baselines": x} if info.attribution.takes_distribution else {}
    arguments.update({"n_samples": 300} if info.name == "gradient_shap" else {})
    arguments.update({"n_repeats": 100} if info.name == "feature_permutation" else {})
    arguments.update({"hierarchy": ((0, 1), (2, 3, 4))} if info.name == "owen_values" else {})
    return arguments


def test_every_method_by_name(x):
    for info in pellucid.methods():
        if info.needs_layer:
            with pytest.raises(InvalidValueError, match="layer is None"):
                pellucid.explain(mlp(), x, method=info.name)
            continue
        explanation = pellucid.explain(mlp(activation=torch.nn.ELU), x, method=info.name, **needed(info, x))
        assert explanation.attributions.shape == x.shape
        assert info.summary.endswith(".")
        assert len(info.summary) < 110


def small_net():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv1d(1, 3, 2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(12, 4)
    ).double()


@pytest.mark.parametrize("name", sorted(AT_LAYER))
def test_every_method_at_a_layer(name, tmp_path):
    model, inputs = small_net(), torch.randn(3, 1, 5, dtype=torch.float64)
    arguments = {"baselines": torch.zeros(1, 1, 5, dtype=torch.float64)} if name.endswith("_shap") else {}
    arguments.update({"seed": 1, "n_samples": 300} if name == "gradient_shap" else {})
    arguments.update({"seed": 1, "n_repeats": 200} if name == "feature_permutation" else {})
    found = pellucid.explain(model, inputs, method=name, layer="0", **arguments)
    again = pellucid.explain(model, inputs, method=name, layer=model[0], **arguments)
    shape = {"grad_cam": (3, 1, 4), "guided_grad_cam": (3, 1, 5)}.get(name, (3, 3, 4))
    assert found.attributions.shape == shape
    assert torch.equal(found.attributions, again.attributions)
    assert found.layer == again.layer == "0"
    loaded = pellucid.load(found.save(tmp_path / "e.safetensors"))
    assert loaded.layer == "0"
    assert torch.equal(loaded.attributions, found.attributions)
    if found.bypass is not None:
        assert torch.equal(loaded.bypass, found.bypass)
        assert float(found.bypass.abs().max()) < 1e-12


def test_every_method_explains_a_neuron():
    model, inputs = small_net(), torch.randn(3, 1, 5, dtype=torch.float64)
    for info in pellucid.methods():
        if info.needs_layer and info.name != "layer_conductance":
            continue
        asked = {"method": info.name, "layer": "1", "neuron": (1, slice(0, 2))}
        found = pellucid.explain(model, inputs, **asked, **needed(info, inputs))
        assert found.attributions.shape == inputs.shape, info.name
        assert (found.layer, found.neuron) == ("1", "1, 0:2")
    outputs = pellucid.explain(model, inputs, method="saliency", layer="1", neuron=(1, slice(0, 2))).outputs
    assert torch.allclose(outputs, model[:2](inputs)[:, 1, :2].sum(1))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"layer": "nowhere"}, "no module of this name"),
        ({"layer": 3}, "layer is a int"),
        ({"neuron": 3}, "layer= as well"),
        ({"layer": "1", "method": "occlusion"}, "does not explain a layer"),
        ({"layer": "1", "method": "grad_cam", "neuron": 1}, "does not explain a neuron"),
        ({"layer": "1", "method": "layer_activation", "target": 1}, "explains no output"),
        ({"layer": "1", "targets": [0, 1]}, "no such argument"),
    ],
)
def test_refuses_scopes_that_do_not_exist(arguments, words):
    with pytest.raises(PellucidError, match=words):
        pellucid.explain(small_net(), torch.randn(3, 1, 5, dtype=torch.float64), **arguments)


SAVED = {
    "plain": lambda x: pellucid.explain(mlp(), x),
    "steps": lambda x: pellucid.explain(mlp(), x, n_steps="auto"),
    "no baseline": lambda x: pellucid.explain(mlp(), x, method="saliency", target=(1,)),
    "no target": lambda x: pellucid.explain(lambda v: (v**2).sum(1), x),
    "tuple": lambda x: pellucid.explain(TwoInputs(), (x, x[:, :2]), target=[0, 1, 0], baselines=(0.1, 0.2)),
    "rules": lambda x: pellucid.explain(mlp(), x, method="deep_lift"),
    "surrogate": lambda x: pellucid.explain(mlp(), x, method="lime", n_samples=20, seed=2),
    "sampled": lambda x: pellucid.explain(mlp(), x.bfloat16().double(), method="vargrad", seed=2),
}


@pytest.mark.parametrize("name", SAVED)
def test_saved_and_loaded(name, x, tmp_path):
    explanation = SAVED[name](x)
    again = pellucid.load(explanation.save(tmp_path / "e.safetensors"))
    for field, value in vars(explanation).items():
        other = getattr(again, field)
        if isinstance(value, torch.Tensor):
            assert torch.equal(value.detach(), other)
        elif isinstance(value, tuple) and value and isinstance(value[0], torch.Tensor):
            assert isinstance(other, tuple)
            assert all(torch.equal(a, b) for a, b in zip(value, other, strict=True))
        else:
            assert other == value


def test_nothing_in_the_file_can_run(x, tmp_path):
    path = pellucid.explain(mlp(), x).save(tmp_path / "e.safetensors")
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    assert json.loads(header["__metadata__"]["pellucid"])["method"] == "integrated_gradients"


@pytest.mark.parametrize("content", [b"", b"no file of ours", b"\x80\x04\x95pickle"])
def test_files_that_are_not_ours(content, tmp_path):
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(InvalidValueError, match="holds no explanation"):
        pellucid.load(path)


def test_other_safetensors_files(tmp_path):
    from safetensors.torch import save_file

    for metadata in (None, {"pellucid": "[]"}, {"pellucid": "{"}, {"pellucid": '{"format": 1}'}):
        save_file({"a": torch.zeros(1)}, str(tmp_path / "s"), metadata=metadata)
        with pytest.raises(InvalidValueError, match="holds no explanation"):
            pellucid.load(tmp_path / "s")
    with pytest.raises(FileNotFoundError):
        pellucid.load(tmp_path / "nothing")


def test_repr_says_how_well(x):
    text = repr(pellucid.explain(mlp(), x))
    assert "integrated_gradients" in text
    assert "|delta|" in text


def test_pictures():
    for shape in ((5,), (4, 4), (1, 4, 4), (3, 4, 4)):
        data = torch.rand(2, *shape)
        figure, ax = pellucid.explain(lambda v: v.flatten(1).pow(2).sum(1), data, method="saliency").plot(1)
        assert ax.get_title() == "saliency"
        assert ax in figure.axes
    titled = pellucid.explain(cnn(), torch.rand(1, 2, 8, 8, dtype=DOUBLE), method="saliency")
    assert titled.plot()[1].child_axes[0].get_title().startswith("all 2 channels")
    with pytest.raises(InvalidValueError, match=r"\(2, 2, 2, 2\)"):
        pellucid.explain(lambda v: v.flatten(1).sum(1), torch.rand(1, 2, 2, 2, 2), method="saliency").plot()
    with pytest.raises(InvalidValueError, match="example"):
        pellucid.explain(mlp(), torch.rand(1, 5, dtype=DOUBLE), method="saliency").plot(1)
