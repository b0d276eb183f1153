"""Anybody's method under the contract: what holds passes, and every property fails where it is broken."""

import time
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import torch
from torch import nn

import pellucid.testing
from pellucid.attr import FeatureAblation, InputXGradient, IntegratedGradients, LayerConductance, NoiseTunnel, Saliency
from pellucid.errors import InvalidTypeError, InvalidValueError, PellucidError
from pellucid.testing import PROPERTIES, ContractError, Subject, at_layer, at_neuron, check_method

STEPS = {"n_steps": 30}
PATH = {"complete": True, "delta": True, "baselines": True, "cap": "internal_batch_size", "tolerance": 1e-6}
ALONE = [name for name in PROPERTIES if name != "devices"]


def after(change, method=IntegratedGradients):
    """A method whose result is changed afterwards."""

    def made(model):
        def attribute(inputs, **given):
            found = method(model).attribute(inputs, **given)
            return tuple(change(f) for f in found) if isinstance(found, tuple) else change(found)

        return attribute

    return made


def plain(model):
    """The gradient, with nothing done for anybody: no copies, no modes, no structures."""

    def attribute(inputs, target=None, additional_forward_args=()):
        more = additional_forward_args if isinstance(additional_forward_args, tuple) else (additional_forward_args,)
        inputs.requires_grad_()
        output = model(inputs, *more)
        rows = torch.arange(len(inputs))
        output[rows, torch.as_tensor(target)].sum().backward()
        return inputs.grad

    return attribute


def directly(model):
    """The model is shown the user's tensors themselves, once."""

    def attribute(inputs, target=None, additional_forward_args=()):
        more = additional_forward_args if isinstance(additional_forward_args, tuple) else (additional_forward_args,)
        model(inputs, *more)
        return Saliency(model).attribute(inputs, target=target, additional_forward_args=additional_forward_args)

    return attribute


def by_class(model):
    """Guided backpropagation as hooks on classes of modules do it: functions keep their gradient."""

    def attribute(inputs, target=None, **given):
        modules = [m for m in model.modules() if isinstance(m, nn.Tanh)] if isinstance(model, nn.Module) else []
        hooks = [m.register_full_backward_hook(lambda _m, g, _o: (g[0].clamp(min=0),)) for m in modules]
        x = inputs.detach().requires_grad_()
        (found,) = torch.autograd.grad(model(x)[:, target].sum(), x)
        for hook in hooks:
            hook.remove()
        return found

    return attribute


def shrunk(model):
    """A penalty of fixed size, as of a lasso."""
    return after(lambda a: a.sign() * (a.abs() - 0.001).clamp(min=0), InputXGradient)(model)


def in_pieces(model):
    """Steps are cut into chunks, and each chunk leaves out its last one."""

    def attribute(inputs, internal_batch_size=None, **given):
        found = IntegratedGradients(model).attribute(inputs, **given)
        return found if internal_batch_size is None else found * (1 - 1 / (2 * internal_batch_size))

    return attribute


def in_one_pass(model):
    """Steps share a pass, and nobody looks whether they may."""

    def attribute(inputs, target=None, internal_batch_size=None, **given):
        steps = [inputs * share for share in (0.2, 0.6, 1.0)]
        passes = [torch.cat(steps)] if internal_batch_size != 1 else steps
        found = [Saliency(model).attribute(x, target=target, abs=False) for x in passes]
        return inputs * torch.cat(found).unflatten(0, (3, -1)).mean(0)

    return attribute


def first_of_the_batch(model):
    """What example 0 selects is selected for all."""

    def attribute(inputs, **given):
        found = Saliency(model).attribute(inputs, **given)
        return torch.where(found[:1] > 0.01, found, 0.0)

    return attribute


def off_with_gradients(model):
    def attribute(inputs, **given):
        found = Saliency(model).attribute(inputs, **given)
        return found if torch.is_grad_enabled() else torch.zeros_like(found)

    return attribute


def tensors_only(model):
    def only(*args):
        output = model(*args)
        return output if isinstance(output, torch.Tensor) else args[0] * 0

    return lambda inputs, **given: Saliency(only).attribute(inputs, **given)


def global_noise(model):
    def attribute(inputs, seed=None, generator=None, **given):
        return Saliency(model).attribute(inputs + 0.01 * torch.randn_like(inputs), **given)

    return attribute


def fixed_noise(model):
    return lambda inputs, **given: NoiseTunnel(Saliency(model)).attribute(inputs, **{**given, **NOISE, "seed": 1})


NOISE = {"nt_samples": 3, "stdevs": 0.05, "generator": None}
TARGETS = {}


def remembered_by_model(model):
    """What a call asks is kept with the model, where the next call finds it."""

    def attribute(inputs, target=None, **given):
        TARGETS[model] = target
        time.sleep(0.005)
        return Saliency(model).attribute(inputs, target=TARGETS[model], **given)

    return attribute


def hooked(model):
    """A hook that is removed afterwards, unless the model fails."""

    def attribute(inputs, **given):
        hook = model.first.register_forward_hook(lambda *_: None)
        found = Saliency(model).attribute(inputs, **given)
        hook.remove()
        return found

    return attribute


def swallowed(model):
    """A failing model gets zeros."""

    def attribute(inputs, **given):
        try:
            return Saliency(model).attribute(inputs, **given)
        except Exception:
            return torch.zeros_like(inputs)

    return attribute


BROKEN = {
    "structure, flat": (after(torch.flatten), {}),
    "structure, without its tuple": (
        lambda f: lambda x, **given: Saliency(f).attribute(x[0] if isinstance(x, tuple) else x, **given),
        {},
    ),
    "completeness, two percent too much": (after(lambda a: 1.02 * a), {"arguments": STEPS, **PATH, "delta": False}),
    "completeness, with a delta of something else": (
        lambda f: (
            lambda x, **given: (
                IntegratedGradients(f).attribute(x, **{**given, "return_convergence_delta": False}),
                torch.full((len(x),), 0.1, dtype=x.dtype),
            )
        ),
        {"arguments": STEPS, **PATH},
    ),
    "missingness, at another baseline": (
        lambda f: lambda x, baselines=None, **given: IntegratedGradients(f).attribute(x, **given),
        {"arguments": STEPS, "baselines": True},
    ),
    "symmetry, by position": (after(lambda a: a * torch.arange(1, a.shape[1] + 1)), {}),
    "dummy, a share for everybody": (after(lambda a: a + 1e-6), {}),
    "dummy, nothing for anybody": (after(torch.zeros_like), {}),
    "permutation, shared with neighbours": (after(lambda a: a + a.roll(1, 1)), {}),
    "scale, with a penalty of fixed size": (shrunk, {}),
    "form, by classes of modules": (by_class, {}),
    "batch, by the largest of the batch": (after(lambda a: a / a.abs().max(), Saliency), {}),
    "batch, by the first example": (first_of_the_batch, {}),
    "chunks, with a step left out in each": (in_pieces, {"arguments": STEPS, "cap": "internal_batch_size"}),
    "mixing, steps in one pass": (in_one_pass, {"cap": "internal_batch_size"}),
    "sizes, steps in one pass": (in_one_pass, {}),
    "precision, rounded": (after(lambda a: a.float().to(a.dtype)), {}),
    "precision, in another dtype": (after(torch.Tensor.double), {}),
    "precision, asked in float32": (
        lambda f: lambda x, **given: Saliency(lambda v: f(v) + 0 * f(v.float())).attribute(x, **given),
        {},
    ),
    "modes, zeros without gradients": (off_with_gradients, {}),
    "modes, no gradients at all": (plain, {}),
    "outputs, bare tensors only": (tensors_only, {}),
    "writes, into the user's tensors": (directly, {}),
    "writes, where gradients begin": (plain, {}),
    "generators, a draw that is not declared": (global_noise, {}),
    "generators, torch's own instead of the given one": (global_noise, {"samples": True}),
    "generators, the same draws in every call": (fixed_noise, {"samples": True}),
    "threads, state beside the model": (remembered_by_model, {}),
    "residue, gradients": (plain, {}),
    "residue, a hook after a failure": (hooked, {}),
    "residue, failures are hidden": (swallowed, {}),
}
"""By the property that is broken, and how: a method, and what it promises."""


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_broken_fails_under_the_name_of_its_property(how):
    make, promises = BROKEN[how]
    name = how.partition(",")[0]
    with pytest.raises(ContractError, match=rf"^{name}: ") as caught:
        check_method(make, properties=(name,), **promises)
    assert caught.value.property_name == name
    if caught.value.difference is not None:
        assert not caught.value.difference <= caught.value.tolerance
        assert f"{caught.value.difference:.3g}" in str(caught.value)
        assert caught.value.model in str(caught.value)


def test_every_property_is_broken_once():
    assert {how.partition(",")[0] for how in BROKEN} == set(ALONE)


@pytest.mark.parametrize("broken", [False, True])
def test_devices_are_compared(broken, monkeypatch):
    """The CPU stands for an accelerator; what is broken gives another answer every time."""
    monkeypatch.setattr("pellucid.testing._calls.accelerator", lambda: torch.device("cpu"))
    answers = iter((1.0, 1.0 + broken))
    make = after(lambda a: a * next(answers))
    if broken:
        with pytest.raises(ContractError, match=r"^devices: "):
            check_method(make, properties=("devices",))
    else:
        assert check_method(make, properties=("devices",)).checked == ("devices",)


def test_methods_of_the_library_pass_and_the_report_says_what_was_checked():
    report = check_method(IntegratedGradients, STEPS, **PATH)
    assert set(report.checked) >= set(ALONE)
    report = check_method(Saliency)
    assert report.skipped["completeness"] == "no sum is promised"
    assert report.skipped["chunks"] == "no argument caps the rows of a pass"
    assert {*report.checked, *report.skipped} == set(PROPERTIES)
    assert "\ncompleteness: not checked, no sum is promised" in str(report)
    assert str(report).startswith("structure: holds\n")
    with pytest.raises(FrozenInstanceError):
        report.checked = ()


@pytest.mark.parametrize("make", [Saliency, global_noise])
def test_a_check_leaves_nothing_behind(make):
    """Not even where the method draws as it likes; and it says the same every time."""
    state, said = torch.get_rng_state(), []
    for _ in range(2):
        try:
            said.append(check_method(make, properties=[n for n in ALONE if n != "threads"]))
        except ContractError as error:
            said.append(str(error))
    assert said[0] == said[1]
    assert torch.equal(state, torch.get_rng_state())


def test_layers_and_neurons_of_anybodys_pass():
    report = check_method(at_layer(LayerConductance), STEPS, **PATH)
    assert set(report.checked) >= set(ALONE)

    def of_neurons(model, layer):
        def attribute(inputs, neuron, additional_forward_args=None):
            """The layer is the output, whose neurons are targets."""
            return FeatureAblation(model).attribute(
                inputs, target=neuron, additional_forward_args=additional_forward_args
            )

        return attribute

    assert "batch" in check_method(at_neuron(of_neurons), one_target=True).checked


def test_the_example_of_the_page_says_what_the_page_says(capsys):
    page = (Path(__file__).parents[2] / "docs" / "contract.md").read_text()
    program = page.partition("```python\n")[2].partition("```")[0]
    with pytest.raises(ContractError) as caught:
        exec(program, {})
    assert capsys.readouterr().out == "".join(f"{n}: holds\n" for n in ("missingness", "symmetry", "dummy", "scale"))
    assert " ".join(str(caught.value).split()) in " ".join(page.split())
    assert all(f"| {name} " in page for name in PROPERTIES)


def test_exemptions_are_reported_with_their_reason():
    wrong = after(lambda a: a * torch.linspace(1, 2, a.shape[-1]), Saliency)
    why = {"symmetry": "places count", "permutation": "places count"}
    report = check_method(wrong, properties=("symmetry", "permutation", "batch"), exempt=why)
    assert (report.checked, report.skipped) == (("batch",), why)


def test_what_a_method_raises_is_the_cause():
    def raising(model):
        raise ZeroDivisionError("no")

    with pytest.raises(ContractError, match="structure: ZeroDivisionError is raised: no") as caught:
        check_method(raising)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert isinstance(caught.value, AssertionError | PellucidError)
    assert caught.value.difference is None


@pytest.mark.parametrize("argument", ["properties", "exempt"])
def test_unknown_properties_are_refused(argument):
    with pytest.raises(InvalidValueError, match=f"{argument} is 'speed'.*one of structure, completeness"):
        check_method(Saliency, **{argument: {"speed": "is no matter"}})


def test_not_a_number_is_never_equal():
    nothing = after(lambda a: a * float("nan"))
    with pytest.raises(ContractError, match="the largest difference is nan"):
        check_method(nothing, properties=("batch",))


def test_every_property_has_its_law_and_every_name_is_there():
    assert all(item.law.endswith(".") and item.name == name for name, item in PROPERTIES.items())
    assert all(hasattr(pellucid.testing, name) for name in pellucid.testing.__all__)
    assert Subject(Saliency).exempt == {}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: check_method(Saliency, properties="form"), "properties is a str"),
        (lambda: check_method(Saliency, properties=torch.ones(2)), "properties is a Tensor"),
        (lambda: check_method(Saliency, [3]), "arguments is a list"),
        (lambda: check_method(Saliency, exempt="form"), "exempt is a str"),
        (lambda: pellucid.testing.fingerprint(3, []), "model is a int"),
        (lambda: pellucid.testing.fingerprint(nn.Linear(1, 1), 3), "tensors is with a int"),
        (lambda: pellucid.testing.fingerprint(nn.Linear(1, 1), [torch.ones(2, device="meta")]), "dense tensors"),
    ],
)
def test_what_cannot_be_checked_is_refused(call, words):
    with pytest.raises(InvalidTypeError, match=words):
        call()
