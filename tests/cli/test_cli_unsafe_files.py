"""Files that could run code: refused, never run, unless the user vouches for them."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result

from pellucid.cli._pt2 import UnsafeProgramError, load_program
from tests.cli.conftest import tiny_pictures

Command = Callable[..., Result]
TRAP = "trap-was-sprung"


class Trap:
    """Unpickling this makes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path(TRAP),))


def sprung() -> bool:
    return Path(TRAP).exists()


@pytest.fixture
def program(workplace: Path) -> Path:
    """Return an honest exported program with a free number of rows."""
    shapes = ({0: torch.export.Dim("batch", min=1, max=64)},)
    exported = torch.export.export(tiny_pictures(), (torch.zeros(2, 1, 8, 8),), dynamic_shapes=shapes)
    torch.export.save(exported, workplace / "honest.pt2")
    return workplace / "honest.pt2"


def changed(path: Path, change: Callable[[str, bytes], bytes | None], extra: dict[str, bytes] | None = None) -> Path:
    """Write a copy of an archive with its records changed, left out (None) or added."""
    copy = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as target:
        root = source.namelist()[0].partition("/")[0]
        for name in source.namelist():
            content = change(name.partition("/")[2], source.read(name))
            if content is not None:
                target.writestr(name, content)
        for name, content in (extra or {}).items():
            target.writestr(f"{root}/{name}", content)
    return copy


def edit_model(path: Path, edit: Callable[[Any], None]) -> Path:
    def change(name: str, content: bytes) -> bytes:
        if not name.startswith("models/"):
            return content
        model = json.loads(content)
        edit(model)
        return json.dumps(model).encode()

    return changed(path, change)


def saved(value: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def evil_sample_inputs(path: Path) -> Path:
    return changed(path, lambda name, content: saved(((Trap(),), {})) if "sample_inputs" in name else content)


def evil_weight(path: Path) -> Path:
    def change(name: str, content: bytes) -> bytes:
        if name == "data/weights/model_weights_config.json":
            config = json.loads(content)
            for payload in config["config"].values():
                payload["use_pickle"] = True
            return json.dumps(config).encode()
        return saved(Trap()) if name.startswith("data/weights/weight") else content

    return changed(path, change)


def evil_constant(path: Path) -> Path:
    payload = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    return changed(
        path,
        lambda name, content: (
            json.dumps({"config": {"x": payload}}).encode() if "constants_config" in name else content
        ),
        {"data/constants/opaque_obj_0": pickle.dumps(Trap())},
    )


def evil_legacy_weights(path: Path) -> Path:
    return changed(path, lambda name, content: content, {"data/weights/model.pt": saved({"x": Trap()})})


def compiled_part(path: Path) -> Path:
    return changed(path, lambda name, content: content, {"data/aotinductor/model/evil.so": b"\x7fELF"})


def old_format(path: Path) -> Path:
    copy = path.with_name("changed.pt2")
    with zipfile.ZipFile(copy, "w") as target:
        target.writestr("version", "8.9")
        for part in ("exported_program.json", "state_dict.pt", "constants.pt", "example_inputs.pt"):
            target.writestr(f"serialized_{part}", saved(Trap()))
    return copy


def evil_size(path: Path) -> Path:
    def edit(model: Any) -> None:
        text = json.dumps(model["graph_module"]["graph"])
        start = text.index('"expr_str": "') + len('"expr_str": "')
        end = text.index('", ', start) if '", ' in text[start:] else text.index('"', start)
        formula = f"__import__('pathlib').Path('{TRAP}').touch()"
        model["graph_module"]["graph"] = json.loads(text[:start] + formula + text[end:])

    return edit_model(path, edit)


def evil_range(path: Path) -> Path:
    formula = f"__import__('pathlib').Path('{TRAP}').touch()"
    return edit_model(path, lambda model: model["range_constraints"].update({formula: {"min_val": 1, "max_val": 2}}))


def evil_operator(path: Path) -> Path:
    return edit_model(path, lambda model: model["graph_module"]["graph"]["nodes"][0].update(target="torch.os.system"))


def evil_dunder(path: Path) -> Path:
    target = "torch.ops.aten.__class__.__init__"
    return edit_model(path, lambda model: model["graph_module"]["graph"]["nodes"][0].update(target=target))


def evil_argument_name(path: Path) -> Path:
    name = f"x=__import__('pathlib').Path('{TRAP}').touch()"

    def edit(model: Any) -> None:
        model["graph_module"]["module_call_graph"][0]["signature"]["forward_arg_names"] = [name]

    return edit_model(path, edit)


def evil_tree(path: Path) -> Path:
    context = {"default_factory_module": "os", "default_factory_name": "getcwd", "dict_context": []}
    tree = [1, {"type": "collections.defaultdict", "context": json.dumps(context), "children_spec": []}]

    def edit(model: Any) -> None:
        model["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = json.dumps(tree)

    return edit_model(path, edit)


def evil_guards(path: Path) -> Path:
    guard = f"__import__('pathlib').Path('{TRAP}').touch() or True"
    return edit_model(path, lambda model: model.update(guards_code=[guard]))


EVIL = [
    evil_sample_inputs, evil_weight, evil_constant, evil_legacy_weights, compiled_part, old_format, evil_size,
    evil_range, evil_operator, evil_dunder, evil_argument_name, evil_tree,
]  # fmt: skip
REAL = [evil_sample_inputs, evil_weight, evil_constant, evil_legacy_weights, evil_size, evil_guards]


def test_an_honest_program_is_loaded(pellucid_command: Command, program: Path) -> None:
    copy = changed(program, lambda name, content: content)  # the tests below would pass if copies never loaded
    assert pellucid_command("explain", copy.name, "pictures.npy", "--no-pictures", "-o", "out").exit_code == 0


@pytest.mark.parametrize("make", EVIL)
def test_evil_programs_are_refused_and_not_run(
    pellucid_command: Command, program: Path, make: Callable[[Path], Path]
) -> None:
    path = make(program)
    result = pellucid_command("explain", path.name, "pictures.npy", "--no-pictures", "-o", "out")
    assert result.exit_code == 2, result.output
    assert not sprung()
    if make is not old_format:
        assert "is refused" in result.stderr
        with pytest.raises(UnsafeProgramError):
            load_program(path)


def test_guards_of_a_program_are_not_run(pellucid_command: Command, program: Path) -> None:
    path = evil_guards(program)
    pellucid_command("explain", path.name, "pictures.npy", "--no-pictures", "-o", "out")
    assert not sprung()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", REAL)
def test_torch_itself_springs_the_trap(program: Path, make: Callable[[Path], Path]) -> None:
    """The reason for all this: where it stops being so, the checks can be made simpler."""
    path = make(program)
    with contextlib.suppress(Exception):
        torch.export.load(path).module()(torch.zeros(2, 1, 8, 8))
    assert sprung()


def test_trust_loads_what_is_refused(pellucid_command: Command, workplace: Path) -> None:
    torch.save(tiny_pictures(), "model.pt")
    words = ("explain", "model.pt", "pictures.npy", "--no-pictures", "-o", "out")
    refused = pellucid_command(*words)
    assert refused.exit_code == 2
    assert "--trust" in refused.stderr
    assert pellucid_command(*words, "--trust").exit_code == 0


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(Trap()))


def object_array(path: Path) -> None:
    with path.open("wb") as stream:
        np.save(stream, np.array([Trap()], dtype=object), allow_pickle=True)


def torch_archive(path: Path) -> None:
    path.write_bytes(saved({"inputs": Trap()}))


@pytest.mark.parametrize("name", ["x.npy", "x.png", "x.csv", "x.pkl", "x.pt", "x.safetensors", "x.parquet", "x"])
@pytest.mark.parametrize("make", [pickled, object_array, torch_archive])
def test_pickles_are_refused_under_any_name(
    pellucid_command: Command, workplace: Path, make: Callable[[Path], None], name: str
) -> None:
    make(workplace / name)
    for trust in ((), ("--trust",)):
        result = pellucid_command("explain", "tiny_models:rows", name, "-o", "out", *trust)
        assert result.exit_code == 2, result.output
        assert not sprung()
    result = pellucid_command("explain", f"./{name}", "rows.npy", "-o", "out")
    assert result.exit_code == 2
    assert not sprung()
    result = pellucid_command("explain", "tiny_models:rows", "rows.npy", "--baseline", name, "-o", "out")
    assert result.exit_code == 2
    assert not sprung()


def test_a_folder_with_pickled_weights_is_refused(pellucid_command: Command, workplace: Path) -> None:
    folder = workplace / "hub"
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"architectures": ["ViTForImageClassification"], "model_type": "vit"})
    )
    (folder / "pytorch_model.bin").write_bytes(saved(Trap()))
    result = pellucid_command("explain", "hub", "animals", "-o", "out")
    assert result.exit_code == 2
    assert "weights are pickles (pytorch_model.bin)" in result.stderr
    assert not sprung()
