"""Text recognition by CRNN on MobileNetV3: its data, its batches and its loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spaces.errors import TaskError
from trainables.data.characters import Characters, read_characters
from trainables.data.images import READERS, check_images
from trainables.data.preparing import prepare, read_pixels
from trainables.data.problems import Problems
from trainables.data.text import read_lines
from trainables.metrics.text_lines import LineMetric
from trainables.remarks import remark
from trainables.task import Batch, Metric, Split
from trainables.tasks.config_file import section
from trainables.tasks.paddleocr.architecture import searched_architecture
from trainables.tasks.paddleocr.images import omitted_augmentations, transforms
from trainables.tasks.paddleocr.line_input import SUPPORTED, line_input
from trainables.tasks.paddleocr.splits import read_splits, training_recipe

if TYPE_CHECKING:
    import paddle

    from trainables.tasks.paddleocr.ctc import CTCTargets

# PaddleOCR's default of `max_text_length`, in characters.
LONGEST = 25
# Supported encoders, and whether they have recurrent layers.
ENCODERS = {"rnn": True, "reshape": False}
INDICATORS = ("acc", "norm_edit_dis")


class _Line(NamedTuple):
    image: Path
    text: str


class RecognitionTask:
    """One text recognition configuration of PaddleOCR, with trained weights."""

    name = "paddleocr"
    protected_layers: tuple[str, ...] = ()

    def __init__(
        self,
        config: Mapping[str, Any],
        config_file: str,
        weights: str,
        image_size: Sequence[int] | None,
    ) -> None:
        where = f"config_file {config_file}:"
        self._network = _network_options(searched_architecture(config, config_file, "rec"), where)
        self.weights = Path(weights)
        self.recipe = training_recipe(config)
        named = {**section(config, "PostProcess"), **section(config, "Global")}
        self._characters = read_characters(
            named.get("character_dict_path"), bool(named.get("use_space_char")), where
        )
        self.metric: Metric = _metric(config, where, self._characters)
        self._is_focal = _is_focal(section(config, "Loss"), where)
        evaluated = transforms(section(config, "Eval", "dataset"))
        spec = line_input(evaluated, f"{where} Eval's", image_size)
        self.inputs = (spec,)
        self._columns = _columns(self._network, spec.shape[1], spec.shape[2], where)
        self._samples = _read_samples(
            config, self._characters, int(named.get("max_text_length", LONGEST))
        )
        self._samples["train"] = self._that_fit(self._samples["train"])
        if names := omitted_augmentations(section(config, "Train", "dataset"), SUPPORTED):
            remark(f"omitted in training: {', '.join(names)}; lines are trained on as they are")

    def _that_fit(self, lines: Sequence[_Line]) -> list[_Line]:
        """Return the lines that the network can be trained on, with a remark on the others."""
        from trainables.tasks.paddleocr.ctc import columns_needed

        fitting = [
            line
            for line in lines
            if columns_needed(self._characters.classes(line.text)) <= self._columns
        ]
        if not fitting:
            raise TaskError(
                f"no line of Train has a text that fits into the network's {self._columns} "
                "columns; give a wider image_shape"
            )
        if len(fitting) < len(lines):
            remark(
                f"{len(lines) - len(fitting)} of the {len(lines)} lines of Train are not trained "
                f"on: the network has {self._columns} columns, and their texts need more"
            )
        return fitting

    def build_untrained(self) -> paddle.nn.Layer:
        from trainables.tasks.paddleocr.crnn_network import CRNNetwork

        return CRNNetwork(self._characters.count, **self._network)

    def build_model(self) -> paddle.nn.Layer:
        from trainables.weights import load_weights

        model = self.build_untrained()
        load_weights(model, self.weights)
        return model

    def loss(self, outputs: paddle.Tensor, targets: CTCTargets) -> paddle.Tensor:
        from trainables.tasks.paddleocr.ctc import ctc_loss

        return ctc_loss(outputs, targets, self._is_focal)

    def exported(self, outputs: paddle.Tensor) -> paddle.Tensor:
        """Return the chances, as in evaluation, of the scores of training."""
        import paddle.nn.functional as F

        return F.softmax(outputs, axis=2)

    def train_batches(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Yield one epoch of full batches, shuffled by `seed`."""
        from trainables.tasks.paddleocr.ctc import ctc_targets

        lines = self._samples["train"]
        order = np.random.default_rng(seed).permutation(len(lines))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            chosen = [lines[index] for index in order[start : start + batch_size]]
            classes = [self._characters.classes(line.text) for line in chosen]
            yield Batch((self._images(chosen),), ctc_targets(classes))

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yield a split with its texts. Without a section `Test`, half of `Eval` is the test
        split."""
        lines = self._samples[split]
        for start in range(0, len(lines), batch_size):
            chosen = lines[start : start + batch_size]
            yield Batch((self._images(chosen),), [line.text for line in chosen])

    def _images(self, lines: Sequence[_Line]) -> np.ndarray:
        with ThreadPoolExecutor(READERS) as pool:
            return np.stack(list(pool.map(self._image, lines)))

    def _image(self, line: _Line) -> np.ndarray:
        (spec,) = self.inputs
        assert spec.image is not None
        return prepare(read_pixels(line.image, spec.image), spec)


def _network_options(architecture: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the keyword arguments of CRNNetwork, except the number of classes."""
    from trainables.tasks.paddleocr.crnn_network import HEAD_DECAY, HIDDEN_SIZE, STRIDES

    backbone, neck, head = (section(architecture, key) for key in ("Backbone", "Neck", "Head"))
    variant = backbone.get("model_name", "small")
    if variant not in STRIDES:
        raise TaskError(f"{where} model_name {variant!r} is not one of {', '.join(STRIDES)}")
    strides = backbone.get(f"{variant}_stride") or STRIDES[variant]
    if len(strides) != len(STRIDES[variant]):
        raise TaskError(f"{where} {variant}_stride {strides!r} is not a list of four numbers")
    encoder = neck.get("encoder_type")
    if encoder not in ENCODERS:
        raise TaskError(
            f"{where} Neck SequenceEncoder: encoder_type {encoder!r} cannot be searched; "
            f"{', '.join(ENCODERS)} can"
        )
    return {
        "variant": variant,
        "scale": float(backbone.get("scale", 0.5)),
        "strides": tuple(int(stride) for stride in strides),
        "squeeze_excitation": not backbone.get("disable_se", False),
        "hidden_size": int(neck.get("hidden_size", HIDDEN_SIZE)) if ENCODERS[encoder] else None,
        "head_decay": float(head.get("fc_decay", HEAD_DECAY)),
        "head_middle": head.get("mid_channels"),
    }


def _columns(network: Mapping[str, Any], height: int, width: int, where: str) -> int:
    """Return the columns of the network's map; TaskError unless it has one row."""
    from trainables.tasks.paddleocr.crnn_network import map_size

    rows, columns = map_size(height, width, network["variant"], network["strides"])
    if rows != 1 or columns < 1:
        raise TaskError(
            f"{where} of a line of {height} x {width} the network makes {rows} x {columns} values, "
            f"and one row is needed; change image_shape or {network['variant']}_stride"
        )
    return columns


def _metric(config: Mapping[str, Any], where: str, characters: Characters) -> LineMetric:
    given = section(config, "Metric")
    name, indicator = given.get("name", "RecMetric"), given.get("main_indicator", "acc")
    if name != "RecMetric" or indicator not in INDICATORS:
        raise TaskError(
            f"{where} Metric {name!r} with main_indicator {indicator!r} is not supported; "
            f"RecMetric with {' or '.join(INDICATORS)} is"
        )
    return LineMetric(
        characters,
        indicator,
        ignores_space=bool(given.get("ignore_space", True)),
        is_filtered=bool(given.get("is_filter", False)),
    )


def _is_focal(given: Mapping[str, Any], where: str) -> bool:
    if given.get("name", "CTCLoss") != "CTCLoss":
        raise TaskError(f"{where} Loss {given['name']!r} is not supported; CTCLoss is")
    return bool(given.get("use_focal_loss", False))


def _read_samples(
    config: Mapping[str, Any], characters: Characters, longest: int
) -> dict[Split, list[_Line]]:
    """Return the lines of each split; DataError, in one line, for what is wrong with them."""
    problems = Problems()
    listed = read_splits(config, read_lines, problems)
    lines: dict[Split, list[_Line]] = {}
    for split, samples in listed.items():
        check_images(((sample.image, sample.where) for sample in samples), problems)
        texts = [characters.label(sample, problems, longest) for sample in samples]
        lines[split] = [
            _Line(sample.image, text)
            for sample, text in zip(samples, texts, strict=True)
            if text is not None
        ]
    problems.raise_if_any()
    return lines
