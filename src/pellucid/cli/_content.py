"""What a file holds by its first bytes, whatever its name says: pickles are found here, and never opened."""

from __future__ import annotations

import zipfile
from pathlib import Path

from pellucid.cli._failures import Refusal

WHY_NOT_PICKLE = "a pickle can run any code while it is being loaded"


def names_something(text: str) -> bool:
    """Tell whether a text is the path of a file or a folder; one that is too long for a path is none."""
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False


def first_bytes(path: Path, count: int = 64) -> bytes:
    """Return the beginning of a file.

    Raises:
        Refusal: The file is missing, a folder, empty or not readable.
    """
    if not names_something(str(path)):
        raise Refusal(f"{path} does not exist.")
    if path.is_dir():
        raise Refusal(f"{path} is a folder where a file is needed.")
    try:
        with path.open("rb") as stream:
            start = stream.read(count)
    except OSError as error:
        raise Refusal(f"{path} cannot be read: {error.strerror}.") from error
    if not start:
        raise Refusal(f"{path} is empty.")
    return start


def is_pickle(path: Path) -> bool:
    """Say whether a file is a pickle, or a zip archive around one as ``torch.save`` writes it."""
    start = first_bytes(path, 2)
    if start[0] == 0x80 and len(start) > 1 and start[1] <= 5:
        return True
    if start == b"PK":
        try:
            with zipfile.ZipFile(path) as archive:
                return any(name.endswith((".pkl", ".pickle")) for name in archive.namelist())
        except (zipfile.BadZipFile, OSError, NotImplementedError):
            return False
    return False


def refuse_pickle(path: Path, instead: str) -> None:
    """Refuse a file that is a pickle by its content or by its name.

    Args:
        path: The file; it must exist.
        instead: What to pass instead.

    Raises:
        Refusal: It is a pickle.
    """
    if is_pickle(path) or path.suffix.lower() in {".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib"}:
        raise Refusal(f"{path} is refused: it is a pickle or named like one, and {WHY_NOT_PICKLE}. Pass {instead}.")
