"""The report tells how often the model ran, and on how many rows: as a hook on the model counts."""

import torch
from torch import nn

import pellucid
from tests.contract.rows import EVERY
from tests.models import DOUBLE


@EVERY
def test_the_report_counts_every_pass(case, generator):
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3)).to(DOUBLE)
    seen = []
    model.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    x = torch.randn(3, 5, dtype=DOUBLE, generator=generator)
    with pellucid.recording() as report:
        case.run(model, x, target=1)
    assert (report.calls, report.rows) == (len(seen), sum(seen))
    assert report.calls > 0
