"""How someone with a delivered folder alone loads its model: a function for each engine of the CPU.

deploy.py of a delivered model has that of its engine (trainables/deployment/deploy_file.py). They
use nothing of this package, and the manifest says how the engine was set up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainables.deployment.engines.registry import LocalKind

Run = Callable[[Sequence[np.ndarray]], list[np.ndarray]]
"""Returns a model's outputs for a batch of each of its inputs."""


def load_paddle(folder: Path, manifest: dict[str, Any]) -> Run:
    """Load the model; return a function from its inputs to its outputs."""
    import paddle.inference

    config = paddle.inference.Config(*(str(folder / name) for name in manifest["engine_files"]))
    config.disable_glog_info()
    config.enable_memory_optim()
    config.set_cpu_math_library_num_threads(manifest["latency_ms"]["threads"])
    for switch, on in manifest["engine_config"].items():
        if on:
            getattr(config, switch)()
    for name in manifest["deleted_passes"]:
        config.delete_pass(name)
    if manifest["int8_operators"]:
        config.enable_mkldnn_int8(set(manifest["int8_operators"]))
    predictor = paddle.inference.create_predictor(config)

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        for name, values in zip(predictor.get_input_names(), inputs, strict=True):
            predictor.get_input_handle(name).copy_from_cpu(values)
        predictor.run()
        names = predictor.get_output_names()
        return [predictor.get_output_handle(name).copy_to_cpu() for name in names]

    return run


def load_openvino(folder: Path, manifest: dict[str, Any]) -> Run:
    """Load the model; return a function from its inputs to its outputs."""
    import openvino

    file = folder / manifest["engine_files"][0]
    model = openvino.compile_model(file, "CPU", manifest["engine_config"])
    names = [one["name"] for one in (manifest["input"], *manifest["more_inputs"])]
    return lambda inputs: [*model(dict(zip(names, inputs, strict=True))).to_tuple()]


def load_onnxruntime(folder: Path, manifest: dict[str, Any]) -> Run:
    """Load the model; return a function from its inputs to its outputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    for name, value in manifest["engine_config"].items():
        if hasattr(options, name):
            setattr(options, name, value)
        else:
            options.add_session_config_entry(name, value)
    file = str(folder / manifest["engine_files"][0])
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names = [one["name"] for one in (manifest["input"], *manifest["more_inputs"])]
    return lambda inputs: session.run(None, dict(zip(names, inputs, strict=True)))


LOADERS: Mapping[LocalKind, Callable[[Path, dict[str, Any]], Run]] = {
    "onednn": load_paddle,
    "openvino": load_openvino,
    "onnxruntime": load_onnxruntime,
}
