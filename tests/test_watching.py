"""Watching a call and stopping it: every method tells how far it is, and leaves nothing behind when it is ended."""

import threading

import pytest
import torch

import pellucid
from pellucid import recording, watching
from pellucid.testing import fingerprint

pytestmark = pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")


class StoppedError(Exception):
    pass


def model():
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(1, 3, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(48, 3)]
    return torch.nn.Sequential(*layers).double().eval()


INPUTS = torch.rand(2, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
BASELINES = torch.full((3, 1, 6, 6), 0.1, dtype=torch.float64)
EXTRA = {"shapley_values": {"feature_mask": torch.arange(36).reshape(1, 6, 6) // 6}}


def asked(info, net):
    arguments = dict(EXTRA.get(info.name, {}))
    if info.attribution.takes_distribution:
        arguments["baselines"] = BASELINES
    if info.takes("seed"):
        arguments["seed"] = 0
    layer = net[0] if info.needs_layer else None
    return pellucid.explain(net, INPUTS, info.name, 1, layer=layer, **arguments)


LONG = [info for info in pellucid.methods() if info.name != "layer_activation"]
"""A layer's activation takes the one pass that every call begins with."""
every_method = pytest.mark.parametrize("info", LONG, ids=lambda m: m.name)


@every_method
def test_a_watcher_sees_the_work_and_changes_nothing(info):
    net, steps = model(), []
    plain = asked(info, net)
    with watching(steps.append):
        watched = asked(info, net)
    assert torch.equal(plain.attributions, watched.attributions)
    assert steps
    assert all(step.total is None or 0 < step.done <= step.total for step in steps)


@every_method
def test_a_watcher_that_raises_ends_the_call_and_leaves_nothing(info):
    net, count = model(), []
    with watching(count.append):
        asked(info, net)
    for stop in {1, len(count) // 2 + 1, len(count)}:
        before, seen = fingerprint(net, (INPUTS,)), []

        def watcher(step, stop=stop, seen=seen):
            seen.append(step)
            if len(seen) == stop:
                raise StoppedError

        with pytest.raises(StoppedError), watching(watcher):
            asked(info, net)
        assert len(seen) == stop
        assert fingerprint(net, (INPUTS,)) == before


def test_other_threads_are_not_watched():
    net, steps = model(), []
    with watching(steps.append):
        other = threading.Thread(target=pellucid.explain, args=(net, INPUTS))
        other.start()
        other.join()
    assert not steps


def test_quiet_recording_keeps_warnings_as_data_only():
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.5))
    with recording(quiet=True) as report:  # a warning would be an error here
        pellucid.explain(net, torch.ones(1, 2), "saliency", 0)
    assert [notice.category for notice in report.notices] == ["TrainingModeWarning"]
    with pytest.warns(pellucid.errors.TrainingModeWarning):
        pellucid.explain(net, torch.ones(1, 2), "saliency", 0)
