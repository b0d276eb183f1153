"""How batches are shared among devices and put together again: without any here, with two where there are two."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pellucid import attr
from pellucid._core import layer_site as sites
from pellucid._core import layout, taps
from pellucid._core.layout import Caught
from pellucid._core.taps import Place, devices_in_order, gathered, share_of
from pellucid.errors import InvalidTypeError, InvalidValueError, UnsupportedModelError
from tests.layers.models import Net, draw, seeded


def cuda(index):
    return torch.device("cuda", index)


def test_devices_come_in_the_order_of_their_shares():
    found = {cuda(2): "c", cuda(0): "a", cuda(1): "b"}
    assert devices_in_order(found, (0, 1, 2)) == [cuda(0), cuda(1), cuda(2)]
    assert devices_in_order(found, (2, 0, 1)) == [cuda(2), cuda(0), cuda(1)]
    with pytest.raises(InvalidValueError, match=r"device_ids is \[0, 1\].*cuda:2"):
        devices_in_order(found, (0, 1))


class OnDevice:
    """Stands for a tensor on an accelerator."""

    def __init__(self, rows, device):
        self.rows, self.device = rows, device

    def to(self, device):
        return OnDevice(self.rows, device)


def test_shares_are_put_together_call_by_call(monkeypatch):
    joined = []

    def cat(parts):
        joined.append({part.device for part in parts})
        return OnDevice([row for part in parts for row in part.rows], parts[0].device)

    monkeypatch.setattr(taps, "torch", SimpleNamespace(cat=cat, device=torch.device))
    shares = {
        cuda(1): [OnDevice([3, 4], cuda(1)), OnDevice([30, 40], cuda(1))],
        cuda(0): [OnDevice([1, 2], cuda(0)), OnDevice([10, 20], cuda(0))],
    }
    first, second = gathered(shares, (0, 1))
    assert (first.rows, second.rows) == ([1, 2, 3, 4], [10, 20, 30, 40])
    assert joined == [{cuda(0)}, {cuda(0)}]
    first, _ = gathered(shares, (1, 0))
    assert (first.rows, first.device) == ([3, 4, 1, 2], cuda(1))


def test_one_device_needs_no_order():
    value = [draw(3, 2)]
    assert gathered({torch.device("cpu"): value}, ()) is value
    assert gathered({cuda(5): value}, (0, 1)) is value


def test_devices_that_met_different_numbers_of_calls():
    value = draw(2, 2)
    with pytest.raises(UnsupportedModelError, match="different number of times"):
        gathered({cuda(0): [value, value], cuda(1): [value]}, (0, 1))


@pytest.mark.parametrize(("rows", "count"), [(4, 2), (5, 2), (7, 3), (1, 2), (2, 3)])
def test_shares_are_those_of_data_parallel(rows, count, monkeypatch):
    """Chunks as ``scatter`` makes them: the first ones are the larger ones, and late devices may get none."""
    value = torch.arange(rows)[:, None]
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *_: self)
    expected = value.chunk(count)
    found = [share_of(value, cuda(i), tuple(range(count))) for i in range(len(expected))]
    assert torch.equal(torch.cat(found), value)
    for f, e in zip(found, expected, strict=True):
        assert torch.equal(f, e)
    assert share_of(value, torch.device("cpu"), tuple(range(count))) is value


@pytest.mark.parametrize("given", [3, "0,1", [0.5], {0: 1}])
def test_names_of_devices(given):
    net = seeded(1, Net)
    with pytest.raises(InvalidTypeError, match=r"device_ids is .*a list of ints"):
        attr.LayerActivation(net, net.one, device_ids=given)


class Parallel(nn.Module):
    """Runs shares of a batch one after the other, as replicas on devices would; ``where`` says on which."""

    def __init__(self, net, count, order=None):
        super().__init__()
        self.net, self.count, self.order = net, count, order
        self.where = None

    def forward(self, x):
        shares = list(enumerate(x.chunk(self.count)))
        outputs = {}
        for i, share in shares if self.order is None else [shares[j] for j in self.order if j < len(shares)]:
            self.where = cuda(i)
            outputs[i] = self.net(share)
        self.where = None
        return torch.cat([outputs[i] for i in range(len(outputs))])


@contextmanager
def pretended(parallel, monkeypatch):
    """Let what happens in a replica look as if it happened on its device."""
    catch, visit = Caught.catch, sites._Put.visit

    def catching(self, layer, value):
        floats = layout.floats_in(value)
        kept = [self._keep(t) for t in floats]
        calls = self._shares[layer, parallel.where]
        calls.append((layout.Called.of(layer, len(calls), value), kept))
        return kept

    def putting(self, layer, value):
        floats = layout.floats_in(value)
        device = parallel.where
        call = self._met[layer, device]
        self._met[layer, device] += 1
        new = self._natural[self._spans[layer, call]]
        assert len(new) == len(floats)
        return sites.with_floats(value, iter([v.chunk(parallel.count)[device.index] for v in new]))

    def gather(shares, device_ids):
        order = devices_in_order(shares, device_ids)
        return [torch.cat(parts) for parts in zip(*(shares[d] for d in order), strict=True)]

    with monkeypatch.context() as patch:
        patch.setattr(Caught, "catch", catching)
        patch.setattr(sites._Put, "visit", putting)
        patch.setattr(layout, "gathered", gather)
        yield
    assert (Caught.catch, sites._Put.visit) == (catch, visit)


METHODS = {
    "LayerActivation": {},
    "LayerGradientXActivation": {"target": 1},
    "LayerIntegratedGradients": {"target": 1, "n_steps": 5, "internal_batch_size": 5},
    "InternalInfluence": {"target": 1, "n_steps": 5, "internal_batch_size": 5},
    "LayerConductance": {"target": 1, "n_steps": 5, "internal_batch_size": 5},
    "LayerGradCam": {"target": 1},
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("count", "order"), [(2, None), (2, [1, 0]), (3, [2, 0, 1])])
@pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning")
def test_replicas_that_run_in_any_order(name, count, order, monkeypatch):
    """Results are those of the model itself, with the rows of the batch in their order."""
    net, x = seeded(1, Net), draw(5, 5, seed=1)
    expected = getattr(attr, name)(net, net.act1).attribute(x, **METHODS[name])
    parallel = Parallel(net, count, order)
    with pretended(parallel, monkeypatch):
        found = getattr(attr, name)(parallel, net.act1, device_ids=list(range(count))).attribute(x, **METHODS[name])
    assert torch.allclose(found, expected, atol=1e-12)


def test_a_data_parallel_model_is_found_by_itself(monkeypatch):
    net = seeded(1, Net)
    parallel = nn.DataParallel(net)
    parallel.device_ids = [0, 1]
    assert taps._devices(parallel, None) == (0, 1)
    assert taps._devices(parallel, [1, 0]) == (1, 0)
    parallel.device_ids = [0]
    assert taps._devices(parallel, None) == ()
    assert taps._devices(net, None) == ()


def test_on_the_cpu_data_parallel_is_the_model():
    """Without accelerators ``DataParallel`` calls the module itself, whose layers are found inside."""
    net, x = seeded(1, Net), draw(4, 5, seed=1)
    if torch.cuda.is_available():
        pytest.skip("it would move to the accelerator")
    for name, how in METHODS.items():
        expected = getattr(attr, name)(net, net.act1).attribute(x, **how, **_less_steps(how))
        assert torch.allclose(
            getattr(attr, name)(nn.DataParallel(net), net.act1).attribute(x, **how, **_less_steps(how)), expected
        )


def _less_steps(how):
    return {"baselines": 0.1} if "n_steps" in how else {}


def test_places_turn_to_all_threads_for_replicas():
    place = Place((nn.Identity(),), ("layer",), device_ids=(0, 1))
    seen = []
    with taps.tapped(place, lambda number, value: seen.append(number)):
        import threading

        thread = threading.Thread(target=lambda: place.layers[0](draw(1, 1)))
        thread.start()
        thread.join()
    assert seen == [0]


several = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
one = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@several
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning")
def test_data_parallel_on_two_devices(name):
    net, x = seeded(1, Net).cuda(), draw(5, 5, seed=1).cuda()
    expected = getattr(attr, name)(net, net.act1).attribute(x, **METHODS[name])
    parallel = nn.DataParallel(net, [0, 1])
    for forward, ids in ((parallel, None), (parallel, None), (parallel, [0, 1])):
        found = getattr(attr, name)(forward, net.act1, device_ids=ids).attribute(x, **METHODS[name])
        assert torch.allclose(found, expected, atol=1e-10)


@several
def test_layers_on_several_devices():
    """A model whose halves live on two devices: results stay where the layer is."""
    net = seeded(1, Net)
    net.one.cuda(0), net.two.cuda(1), net.three.cuda(1)

    def run(x):
        return net.three(torch.tanh(net.two(torch.tanh(net.one(x)).to("cuda:1"))))

    x = draw(3, 5, seed=1).cuda(0)
    for layer, device in ((net.one, 0), (net.two, 1)):
        found = attr.LayerIntegratedGradients(run, layer).attribute(x, target=1, n_steps=5)
        assert found.device == cuda(device)


@one
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning")
def test_one_accelerator_equals_the_cpu(name):
    net, x = seeded(1, Net), draw(5, 5, seed=1)
    expected = getattr(attr, name)(net, net.act1).attribute(x, **METHODS[name])
    net, x = net.cuda(), x.cuda()
    for forward in (net, nn.DataParallel(net, [0])):
        found = getattr(attr, name)(forward, net.act1).attribute(x, **METHODS[name])
        assert found.is_cuda
        assert torch.allclose(found.cpu(), expected, atol=1e-10)
