"""ILSVRC12's original layout of the validation images: one folder, labels in a separate file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import savemat

#: ILSVRC2012_ID of each class, deliberately not in the order of their names.
IDS = {"n01": 3, "n02": 1, "n03": 2}


def flatten(root: Path) -> dict[str, str]:
    """Flatten the validation folder, in mixed order, and return the class of each image."""
    truth = {}
    files = sorted((root / "val").rglob("*.JPEG"), key=lambda path: path.stem[::-1])
    for number, path in enumerate(files, 1):
        name = f"ILSVRC2012_val_{number:08d}"
        truth[name] = path.parent.name
        path.rename(root / "val" / f"{name}.JPEG")
    for folder in (root / "val").glob("n0*"):
        folder.rmdir()
    return truth


def write_devkit(root: Path, lines: list[int], ids: dict[str, int] = IDS) -> None:
    folder = root / "ILSVRC2012_devkit_t12" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in lines)
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text(text)
    synsets = np.array(
        [(number, name) for name, number in ids.items()],
        dtype=[("ILSVRC2012_ID", object), ("WNID", object)],
    )
    savemat(folder / "meta.mat", {"synsets": synsets})


def write_kaggle(root: Path, truth: dict[str, str]) -> None:
    rows = [f"{image},{name} 1 2 3 4 {name} 5 6 7 8 \n" for image, name in truth.items()]
    (root / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n" + "".join(rows))
