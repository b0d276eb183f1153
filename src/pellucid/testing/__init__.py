"""The contract that attribution methods are tested under, for the methods of this library and for anybody's.

``check_method`` takes a function from a model to a method and what the method promises; ``PROPERTIES`` are the
properties by name, each of which is also a function of a ``Subject``. Nothing but torch is needed, no test runner.
"""

from pellucid.errors import ContractError
from pellucid.testing._contract import PROPERTIES, ContractReport, Property, check_method
from pellucid.testing._ends import at_layer, at_neuron
from pellucid.testing._fingerprint import changed, fingerprint
from pellucid.testing._models import PlantedError, TwoInputs, Watched, cnn, mlp
from pellucid.testing._subject import Subject

__all__ = [
    "PROPERTIES",
    "ContractError",
    "ContractReport",
    "PlantedError",
    "Property",
    "Subject",
    "TwoInputs",
    "Watched",
    "at_layer",
    "at_neuron",
    "changed",
    "check_method",
    "cnn",
    "fingerprint",
    "mlp",
]
