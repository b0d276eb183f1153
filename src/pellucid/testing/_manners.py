"""What a call leaves behind: nothing, whatever is raised when; and who else may call meanwhile."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from pellucid.testing._fingerprint import changed, fingerprint
from pellucid.testing._judging import Judge, same
from pellucid.testing._models import DOUBLE, PlantedError, Watched, cnn
from pellucid.testing._subject import Subject, images, inputs_of_net

FAULTS = {"evaluation": 12, "training": 3}
"""By the model's mode, how many of the first evaluations are made to fail; the last one is too."""
ROWS = 7
THREADS, CALLS = 4, 12


def residue(subject: Subject) -> None:
    """Nothing is left behind by a call, nor by one whose model fails, whichever evaluation fails."""
    for mode, faults in FAULTS.items():
        training = mode == "training"
        with warnings.catch_warnings():
            if training:  # the model's own randomness makes integrals rough there, which is warned about
                warnings.simplefilter("ignore")
            _leaves_nothing(subject, Watched().train(training), faults, Judge("residue", f"a model in {mode} mode"))


def _leaves_nothing(subject: Subject, model: Watched, faults: int, judge: Judge) -> None:
    draws = torch.Generator().manual_seed(5)
    x = torch.randn(3, 4, dtype=DOUBLE, generator=draws).requires_grad_()
    weights = torch.ones(3, 1, dtype=DOUBLE, requires_grad=True)
    more = {} if subject.cap is None else {subject.cap: ROWS}

    def call() -> None:
        own = {"generator": torch.Generator().manual_seed(1)} if subject.samples else {}
        subject.run(model, x, target=0, additional_forward_args=weights, **more, **own)

    before = fingerprint(model, (x, weights))
    call()
    wrong = changed(before, fingerprint(model, (x, weights)))
    judge.require(not wrong, f"a call changes {', '.join(wrong)}")
    needed = model.evaluations
    for number in sorted({*range(1, min(needed, faults) + 1), needed}):
        model.evaluations, model.fail_at = 0, number
        raised = _raises(call)
        wrong = changed(before, fingerprint(model, (x, weights)))
        judge.require(not wrong, f"a failure at evaluation {number} of {needed} leaves {', '.join(wrong)} changed")
        judge.require(
            raised or subject.heals, f"a failure at evaluation {number} of {needed} is hidden from the caller"
        )


def _raises(call: Callable[[], None]) -> bool:
    try:
        call()
    except PlantedError:
        return True
    return False


def threads(subject: Subject) -> None:
    """Calls that run at the same time on one model give what they give one after the other."""
    model, x, judge = cnn(), images(8, seed=4), Judge("threads", f"one network in {THREADS} threads")
    expected = [subject.run(model, x, target=t) for t in range(3)]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda i: subject.run(model, x, target=i % 3), range(CALLS)))
    for i, value in enumerate(found):
        judge.equal(value, expected[i % 3], 0.0, "attributions and those of a call alone")


def generators(subject: Subject) -> None:
    """Deterministic methods draw nothing; sampling ones draw one number, or advance only the given generator."""
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        (_draws_as_told if subject.samples else _draws_nothing)(subject, Judge("generators", subject.about))


def _draws_nothing(subject: Subject, judge: Judge) -> None:
    state, first = torch.get_rng_state(), _ask(subject)
    judge.require(torch.equal(state, torch.get_rng_state()), "torch's default generator is advanced")
    torch.manual_seed(1)
    judge.require(same(first, _ask(subject)), "two calls differ")


def _draws_as_told(subject: Subject, judge: Judge) -> None:
    torch.manual_seed(1)
    once = [_ask(subject, seed=None) for _ in range(2)]
    after = torch.get_rng_state()
    torch.manual_seed(1)
    judge.require(same(once[0], _ask(subject, seed=None)), "torch.manual_seed does not make a call reproducible")
    judge.require(not same(*once), "two calls without a seed draw the same")
    torch.manual_seed(1)
    for _ in once:
        torch.randint(2**63 - 1, (1,))
    judge.require(torch.equal(after, torch.get_rng_state()), "a call does not draw one number from the default")
    own = torch.Generator().manual_seed(5)
    first, second = (_ask(subject, generator=own) for _ in range(2))
    again = _ask(subject, generator=torch.Generator().manual_seed(5))
    judge.require(torch.equal(after, torch.get_rng_state()), "a generator is given, and the default is advanced")
    judge.require(same(first, again), "a generator in the same state does not draw the same")
    judge.require(not same(first, second), "a given generator is not advanced")
    judge.require(same(_ask(subject, seed=3), _ask(subject, seed=3)), "a seed does not draw the same again")


def _ask(subject: Subject, **more: object) -> Tensor:
    result: Tensor = subject.run(subject.net(), inputs_of_net(), target=0, **more)
    return result
