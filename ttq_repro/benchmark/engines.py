"""Engines that run a float network for comparison, on one input of fixed shape."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch._inductor import config as inductor

from ttq_repro.deploy.loading import build
from ttq_repro.deploy.packed import PackedNetwork
from ttq_repro.deploy.to_onnx import to_onnx

#: Takes no arguments; returns the logits of the input that it was made for.
Engine = Callable[[], Tensor]


def compiled(network: nn.Module, images: Tensor) -> Engine:
    """``torch.compile`` at its fastest for small networks.

    Weights are frozen, so that their layout is adapted to the kernels only once, and the code that
    calls the kernels is C++ instead of Python.
    """
    # Else, a second network of the same class would get code for any strides.
    fast = torch.compile(network, dynamic=False)
    # As an option of torch.compile it would freeze nothing: dynamo, which has to keep weights as
    # constants, reads only the global setting (torch 2.15).
    with inductor.patch(freezing=True, cpp_wrapper=True):
        fast(images)
    return lambda: fast(images)


def float_engines(packed: PackedNetwork, images: Tensor, threads: int) -> dict[str, Engine]:
    """The network with dense float32 weights in every installed engine, by name."""
    dense = build(packed, "dense")
    last = build(packed, "dense").to(memory_format=torch.channels_last)
    engines = {
        "torch compiled": compiled(dense, images),
        "torch compiled channels last": compiled(
            last, images.contiguous(memory_format=torch.channels_last)
        ),
    }
    if not find_spec("onnx") or not find_spec("onnxscript"):
        return engines
    model = to_onnx(packed)
    for name, package, make in (
        ("onnxruntime", "onnxruntime", _onnxruntime),
        ("OpenVINO", "openvino", _openvino),
    ):
        if find_spec(package):
            engines[name] = make(model, images, threads)
    return engines


def bf16_engines(packed: PackedNetwork, images: Tensor, threads: int) -> dict[str, Engine]:
    """The network with dense bfloat16 weights; slow if the CPU has to emulate bfloat16."""
    network = build(packed, "dense").bfloat16().to(memory_format=torch.channels_last)
    half = images.bfloat16().contiguous(memory_format=torch.channels_last)
    engines = {"torch compiled bf16": compiled(network, half)}
    if find_spec("openvino") and find_spec("onnx") and find_spec("onnxscript"):
        engines["OpenVINO bf16"] = _openvino(to_onnx(packed), images, threads, "bf16")
    return engines


def _onnxruntime(model: bytes, images: Tensor, threads: int) -> Engine:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    inputs = {"images": images.numpy()}
    return lambda: torch.from_numpy(session.run(None, inputs)[0])


def _openvino(model: bytes, images: Tensor, threads: int, precision: str = "f32") -> Engine:
    import openvino

    core = openvino.Core()
    network = core.read_model(model)
    network.reshape(images.shape)
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = core.compile_model(network, "CPU", settings).create_infer_request()
    array = images.numpy()
    return lambda: torch.from_numpy(request.infer([array], share_inputs=True)[0])
