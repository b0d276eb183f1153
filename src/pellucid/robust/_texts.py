"""Texts of arguments that mean something else here than where attributions are computed."""

LABELS = (
    "The correct class of each example, or, where targeted, the class wanted: an int, or one per example as a tensor"
    " (N,) or a list of ints; a tuple, or a list of tuples, for outputs of more dimensions; None if there is one output"
    " per example. A loss of your own gets whatever you pass; a tensor or list with N entries follows its examples."
)
CLASSES = "The correct class of each example: an int for all, or a tensor (N,) or list of ints."
