"""Asking both libraries the same, and comparing what they answer."""

import logging
import warnings

import torch

from pellucid import attr


def answers(name, arguments, **call):
    """What Captum's and our class of a name give, each made from the same arguments; an error that one raises."""
    import captum.attr

    results = []
    for library in (captum.attr, attr):
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.disable(logging.WARNING)
            try:
                results.append(made(library, name, arguments).attribute(**call))
            except Exception as error:  # whatever it is, the comparison says so
                results.append(error)
            finally:
                logging.disable(logging.NOTSET)
    return results


def made(library, name, arguments):
    """An object of a class of a library; the name of a wrapper comes with that of what it wraps."""
    outer, _, inner = name.partition(" of ")
    positional, keywords = arguments
    if inner:
        return getattr(library, outer)(getattr(library, inner)(*positional, **keywords))
    return getattr(library, outer)(*positional, **keywords)


def distance(theirs, ours):
    """The largest difference, in units of the largest value of ours; infinite where the structure differs."""
    for answer in (theirs, ours):
        if isinstance(answer, Exception):
            raise answer
    if isinstance(theirs, tuple | list):
        if not isinstance(ours, tuple | list) or len(theirs) != len(ours):
            return float("inf")
        return max(distance(a, b) for a, b in zip(theirs, ours, strict=True))
    if theirs.shape != ours.shape:
        return float("inf")
    if not theirs.numel():
        return 0.0
    scale = max(float(ours.abs().max()), 1e-3)
    return float((theirs.detach().double() - ours.detach().double()).abs().max()) / scale
