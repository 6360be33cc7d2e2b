"""From a run to a packed file to the predicted classes of a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torch import nn

from tests.conftest import TINY
from tests.deploy.networks import packed, trained
from ttq_repro.data.augmentation import CROP_FRACTION, center_crop
from ttq_repro.deploy.evaluate import evaluate
from ttq_repro.deploy.export import export, pack_trained
from ttq_repro.deploy.format import serialize
from ttq_repro.deploy.loading import load, open_packed
from ttq_repro.deploy.predict import logits_of, predict, read_image
from ttq_repro.deploy.to_onnx import is_exported
from ttq_repro.errors import UserError
from ttq_repro.runs.config import Config, compose_config
from ttq_repro.runs.execute import execute
from ttq_repro.runs.record import Record
from ttq_repro.runs.run import Run
from ttq_repro.runs.train import data_of
from ttq_repro.runs.trained import read_trained
from ttq_repro.runs.workspace import Workspace

ORIENTATION = ExifTags.Base.Orientation
TO_BE_TURNED_RIGHT = 6


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A trained TWN run on digits."""
    config = compose_config("train", [*TINY, "quantizer=twn"])
    run = Run(config | {"workspace": str(tmp_path_factory.mktemp("run"))})
    execute(run)
    return run


@pytest.fixture
def request_for(run: Run, tmp_path: Path) -> Callable[..., Config]:
    workspace = Workspace.of(run.config)

    def make(**changes: Any) -> Config:
        given = {"run": str(workspace.record(run)), "out": str(tmp_path / "net.safetensors")}
        request = compose_config("export", [f"{key}={value}" for key, value in given.items()])
        return request | {"workspace": run.config["workspace"]} | changes

    return make


def test_a_run_becomes_a_file_that_says_where_it_comes_from(
    run: Run, request_for: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    request = request_for(coding="zstd", fold=True)
    export(request)
    out = Path(request["out"])
    assert f"{out}: {out.stat().st_size:,} bytes; 74,368 weights in 7 quantized layers" in (
        capsys.readouterr().out
    )
    made, network = open_packed(out)
    record = Record.read(Workspace.of(run.config).record(run))
    assert made.provenance == {
        "run": record.identity,
        "seed": 1,
        "commit": record.provenance.get("commit"),
        "weights_sha256": record.weights_sha256,
        "test_error": record.test_error["final"],
    }
    assert made.inputs.classes == tuple("0123456789")
    data = data_of(run, Workspace.of(run.config))
    ((images, labels),) = data.test_loader()
    statistics = torch.tensor([made.inputs.mean, made.inputs.std])[:, None, :, None, None]
    predicted = network((images / 255 - statistics[0]) / statistics[1]).argmax(1)
    correct = (predicted == labels).numpy()
    assert len(predicted.unique()) > 5, "the network tells the images apart"
    # Folding may flip a tie.
    assert (correct != record.correct_images()).sum() <= 1


@pytest.mark.parametrize("weights", ["float", "int2"])
def test_a_run_becomes_an_onnx_file(
    weights: str, request_for: Callable[..., Config], tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    onnx, packed = tmp_path / "net.onnx", tmp_path / "net.safetensors"
    export(request_for(out=str(onnx), onnx_weights=weights, fold=True))
    export(request_for(out=str(packed), fold=True))
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"images": images.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), load(packed)(images), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out": "net.bin"}, r"out=net\.bin: must end in \.safetensors \(packed\) or \.onnx"),
        ({"coding": "gzip"}, "coding=gzip: must be one of packed, trits, zstd, huffman"),
        ({"coding": "gzip", "run": "seed1.json"}, "coding=gzip: must be one of"),
        ({"onnx_weights": "int4"}, "onnx_weights=int4: must be one of float, int2"),
        ({"coding": "zstd", "out": "net.onnx"}, "coding=zstd: does not apply to .onnx files"),
        ({"onnx_weights": "int2"}, "onnx_weights=int2: does not apply to .safetensors"),
        ({"run": 5}, "run=5: must be a path, got 5"),
        ({"out": None}, "out=None: must be a path, got None"),
        ({"out": "/dev/null/net.safetensors"}, "out=/dev/null/net.safetensors: "),
        ({"run": "a/b/c/d/seed1.json"}, r"seed1\.json: belongs to no run"),
        ({"run": "seed1.json"}, r"seed1\.json: belongs to no run"),
    ],
)
def test_a_request_that_cannot_be_met_is_named(
    request_for: Callable[..., Config],
    changes: dict[str, str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        export(request_for(**changes))
    assert not list(tmp_path.iterdir())


def test_only_our_models_are_overwritten(
    request_for: Callable[..., Config], tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript")
    out = tmp_path / "net.onnx"
    out.write_text("kept")
    with pytest.raises(UserError, match=r"net\.onnx: exists and is not an exported network"):
        export(request_for(out=str(out)))
    assert out.read_text() == "kept"
    out.unlink()
    for _ in range(2):
        export(request_for(out=str(out)))
    assert is_exported(out)


def test_what_a_run_has_trained_is_never_overwritten(
    run: Run, request_for: Callable[..., Config]
) -> None:
    weights = Workspace.of(run.config).weights(run)
    before = weights.read_bytes()
    with pytest.raises(UserError, match="exists and is not a packed network"):
        export(request_for(run=str(weights), out=str(weights)))
    assert weights.read_bytes() == before
    for _ in range(2):  # A packed network may be replaced.
        export(request_for())


def test_a_network_of_ones_own_is_named(run: Run) -> None:
    workspace = Workspace.of(run.config)
    network, record = read_trained(workspace.record(run))
    record.config["model"]["_target_"] = "mypackage.MyNet"
    with pytest.raises(ValueError, match=r"architecture 'mypackage\.MyNet' is not one of AlexNet"):
        pack_trained(network, record, fold=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "net.safetensors"
    path.write_bytes(serialize(packed(trained())))
    return path


def picture(path: Path, size: tuple[int, int] = (32, 32), mode: str = "RGB") -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def test_the_top_classes_are_those_of_the_network(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = picture(tmp_path / "photo.png")
    made, network = open_packed(model)
    pixels = torch.from_numpy(np.array(Image.open(image))).permute(2, 0, 1) / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (made.inputs.mean, made.inputs.std))
    logits = network(((pixels - mean) / std)[None])[0]
    predict({"model": str(model), "image": str(image), "top": 3})
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"{100 * logits.softmax(0)[index]:5.1f}%  {made.inputs.classes[index]}"
        for index in logits.argsort(descending=True)[:3]
    ]


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("size", [(32, 32), (100, 40), (7, 90)])
def test_pictures_of_any_size_and_kind(
    model: Path, tmp_path: Path, mode: str, size: tuple[int, int]
) -> None:
    made, _ = open_packed(model)
    image = read_image(picture(tmp_path / "photo.jpg", size, mode), made.inputs)
    assert image.shape == (3, 32, 32)
    assert image.isfinite().all()


def test_the_centre_of_a_picture_is_what_evaluation_looks_at(model: Path, tmp_path: Path) -> None:
    made, _ = open_packed(model)
    inputs = replace(made.inputs, size=(224, 224), crop_fraction=CROP_FRACTION)
    path = picture(tmp_path / "photo.png", (342, 256))
    top, left, height, width, _ = center_crop(256, 342)
    pixels = torch.from_numpy(np.array(Image.open(path)))[top : top + height, left : left + width]
    expected = (pixels / 255 - torch.tensor(inputs.mean)) / torch.tensor(inputs.std)
    torch.testing.assert_close(read_image(path, inputs), expected.permute(2, 0, 1))


def test_a_picture_is_turned_as_its_camera_says(model: Path, tmp_path: Path) -> None:
    made, _ = open_packed(model)
    upright = Image.open(picture(tmp_path / "upright.png", (32, 48)))
    upright.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[ORIENTATION] = TO_BE_TURNED_RIGHT
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "lying.png", exif=exif)
    seen = [read_image(tmp_path / name, made.inputs) for name in ("upright.png", "lying.png")]
    assert torch.equal(*seen)


def test_a_deep_grey_picture_is_seen_as_it_looks(model: Path, tmp_path: Path) -> None:
    made, _ = open_packed(model)
    grey = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey * np.uint16(257)).save(tmp_path / "16.png")
    seen = [read_image(tmp_path / name, made.inputs) for name in ("8.png", "16.png")]
    assert torch.equal(*seen)


@pytest.mark.parametrize("side", [30, 1])
def test_images_of_a_size_that_the_network_does_not_take_are_named(
    side: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, made = tmp_path / "net.safetensors", packed(trained())
    path.write_bytes(serialize(replace(made, inputs=replace(made.inputs, size=(side, side)))))
    told = rf"net\.safetensors: fails on .*photo\.png at {side} x {side}"
    with pytest.raises(UserError, match=told):
        predict({"model": str(path), "image": str(picture(tmp_path / "photo.png")), "top": 1})
    assert capsys.readouterr().err == "", "the error says it all"


@pytest.mark.parametrize("top", [0, -3])
def test_no_classes_to_print_are_refused(top: int) -> None:
    with pytest.raises(UserError, match=f"^top={top}: must be a whole number from 1, got {top}$"):
        predict({"model": "m", "image": "i", "top": top})


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 4 bytes"),
        RuntimeError("std::bad_alloc"),
        torch.OutOfMemoryError("CUDA out of memory"),
    ],
)
def test_a_lack_of_memory_is_not_the_files_fault(error: Exception) -> None:
    class Network(nn.Module):
        def forward(self, _: torch.Tensor) -> torch.Tensor:
            raise error

    with pytest.raises(UserError) as caught:
        logits_of(Network(), torch.zeros(1, 3, 8, 9), model="net.safetensors", of="photo.png")
    said = "net.safetensors: not enough memory for photo.png at 8 x 9 pixels"
    assert (type(caught.value), str(caught.value)) == (UserError, said)


def test_an_answer_that_is_no_number_is_none(tmp_path: Path) -> None:
    path, overflowing = tmp_path / "net.safetensors", packed(trained())
    overflowing.floats.fill_(3e38)
    path.write_bytes(serialize(overflowing))
    with pytest.raises(
        UserError, match=r"net\.safetensors: its logits for .*photo.* are not finite"
    ):
        predict({"model": str(path), "image": str(picture(tmp_path / "photo.png")), "top": 1})


def test_the_packed_network_errs_as_the_run_did(
    run: Run, request_for: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    request = request_for()
    export(request)
    capsys.readouterr()
    evaluate(compose_config("evaluate", [f"packed={request['out']}", "data=digits"]))
    record = Record.read(Workspace.of(run.config).record(run))
    count, error = record.test_images, record.test_error["final"]
    assert capsys.readouterr().out.startswith(
        f"{request['out']}: {100 * error:.2f}% test error "
        f"({round(error * count)} of {count} images of digits)\n"
    )


def test_only_the_classes_that_a_network_is_for_are_evaluated(
    request_for: Callable[..., Config],
) -> None:
    path = Path(request_for()["out"])
    export(request_for())
    made, _ = open_packed(path)
    inputs = replace(made.inputs, classes=tuple("012x456789"))
    path.write_bytes(serialize(replace(made, inputs=inputs)))
    with pytest.raises(UserError, match=r"its class 4 is x, but that of digits is 3$"):
        evaluate(compose_config("evaluate", [f"packed={path}", "data=digits"]))


@pytest.mark.parametrize(
    ("overrides", "has"),
    [
        (["data=cifar10"], "cifar10 has 10 classes at 32 x 32 pixels"),
        (["data=imagenette", "data.num_classes=5"], "imagenette has 5 classes at 224 x 224 pixels"),
    ],
)
def test_images_of_another_kind_are_refused_before_they_are_read(
    overrides: list[str], has: str, model: Path, tmp_path: Path
) -> None:
    missing = f"data.root={tmp_path / 'missing'}"
    with pytest.raises(UserError, match=f"a network for 5 classes at 32 x 32 pixels, but {has}$"):
        evaluate(compose_config("evaluate", [f"packed={model}", missing, *overrides]))


def test_images_held_out_of_training_are_no_test_images(model: Path) -> None:
    overrides = [f"packed={model}", "data=digits", "+data.held_out=0.1"]
    with pytest.raises(UserError, match=r"data\.held_out: holds out training images"):
        evaluate(compose_config("evaluate", overrides))


def test_what_is_no_picture_is_named(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    for content in (None, b"not a picture", picture(path).read_bytes()[:300]):
        path.unlink(missing_ok=True) if content is None else path.write_bytes(content)
        with pytest.raises(UserError, match=r"photo\.png: not a readable image"):
            predict({"model": str(model), "image": str(path), "top": 1})
