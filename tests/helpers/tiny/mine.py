"""A user's own task as a user would write it: a small network on small images.

Images are Fashion-MNIST's at 14x14, so that a training takes a second. `make_task` takes the file
of trained weights; tests train it once per session.
"""

import ctypes
import os
import re
import signal
import socket
import time
from pathlib import Path

import numpy as np
import paddle.nn.functional as F
import psutil
from paddle import nn

from trainables.metrics import TopOneAccuracy
from trainables.task import Batch, ModelInput, TrainingRecipe
from trainables.tasks.fashion_mnist.task import FashionMnist
from trainables.weights import load_weights

SIZES = {"train": 1600, "val": 400, "test": 400}


class Network(nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2D(1, 16, 3, padding=1, bias_attr=False)
        self.bn1 = nn.BatchNorm2D(16)
        self.conv2 = nn.Conv2D(16, 32, 3, stride=2, padding=1, bias_attr=False)
        self.bn2 = nn.BatchNorm2D(32)
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Mine:
    name = "mine"
    inputs = (ModelInput("image", (1, 14, 14), scale=1 / 255, mean=(0.286,), std=(0.353,)),)
    metric = TopOneAccuracy()
    recipe = TrainingRecipe(batch_size=32, learning_rate=0.02)
    protected_layers = ()

    def __init__(self, weights=None):
        self.weights = weights
        self.splits = {
            split: tuple(array[: SIZES[split]] for array in arrays)
            for split, arrays in FashionMnist()._splits.items()
        }
        for split, (images, labels) in self.splits.items():
            small = images.reshape(-1, 1, 14, 2, 14, 2).mean((3, 5))
            self.splits[split] = (small.astype("float32"), labels)

    def build_model(self):
        model = Network()
        if self.weights is not None:
            load_weights(model, Path(self.weights))
        return model

    def train_batches(self, batch_size, seed):
        images, labels = self.splits["train"]
        order = np.random.default_rng(seed).permutation(len(images))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            index = order[start : start + batch_size]
            yield Batch((images[index],), labels[index])

    def eval_batches(self, split, batch_size):
        images, labels = self.splits[split]
        for start in range(0, len(images), batch_size):
            yield Batch((images[start : start + batch_size],), labels[start : start + batch_size])

    def loss(self, outputs, targets):
        return F.cross_entropy(outputs, targets)


def make_task(weights=None):
    return Mine(weights)


# Factor of the weights of one channel between the two convolutions: in INT8 the others are 0 then.
UNEVEN = 300


class Uneven(Mine):
    """Computes what `Mine` does, but its second convolution has weights of a great range: of one
    channel before it they are many times as large, and its values as small."""

    def build_model(self):
        model = super().build_model()
        factors = np.ones(16, "float32")
        factors[0] = 1 / UNEVEN
        for scaled in (model.bn1.weight, model.bn1.bias):
            scaled.set_value(factors * scaled.numpy())
        model.conv2.weight.set_value(model.conv2.weight.numpy() / factors[:, None, None])
        return model


def make_uneven(weights=None):
    return Uneven(weights)


class Broken(Mine):
    """Breaks the contract in three ways."""

    inputs = (ModelInput("image", (1, 28, 28)),)
    protected_layers = ("nowhere",)

    def train_batches(self, batch_size, seed):
        return super().train_batches(batch_size, 0)


def make_broken(weights=None):
    return Broken(weights)


# Seeds of trainings are at least this; calibration uses the study's own small seed.
TRAINING_SEED = 1000
# Greatest wait for other trainings to begin, on a busy machine. A guess.
TOGETHER_S = 1800


class Watched(Mine):
    """Writes a file per process that trains, named by the GPUs that Ray gave it.

    A trial waits until `together` processes have begun to train trials, itself included.
    """

    def __init__(self, weights=None, seen=None, together=1):
        super().__init__(weights)
        self.seen = Path(seen)
        self.together = together

    def train_batches(self, batch_size, seed):
        if seed >= TRAINING_SEED:
            gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
            rank = os.environ.get("PADDLE_TRAINER_ID", "trial")
            (self.seen / f"{rank}-{gpus}-{os.getpid()}").touch()
            if rank == "trial":
                self._wait_for_others()
        yield from super().train_batches(batch_size, seed)

    def _wait_for_others(self):
        deadline = time.monotonic() + TOGETHER_S
        while len(list(self.seen.glob("trial-*"))) < self.together:
            if time.monotonic() > deadline:
                raise RuntimeError(f"never {self.together} trials at a time")
            time.sleep(0.05)


def make_watched(weights=None, seen=None, together=1):
    return Watched(weights, seen, together)


# Greatest wait for the test to let a training go on, on a busy machine. A guess.
HELD_S = 3600


class Gated(Mine):
    """Its trainings begin, and go on after each epoch, as tests/helpers/gate.py lets them."""

    def __init__(self, weights=None, gate=None):
        super().__init__(weights)
        self.gate = Path(gate)

    def train_batches(self, batch_size, seed):
        if seed >= TRAINING_SEED:
            self._wait()
        yield from super().train_batches(batch_size, seed)

    def _wait(self):
        name = f"{socket.gethostname()} {psutil.Process().cmdline()[0]}"
        held = self.gate / f"{os.getpid()}.held"
        deadline = time.monotonic() + HELD_S
        while not re.search((self.gate / "let").read_text(), name):
            held.write_text(name)
            if time.monotonic() > deadline:
                raise RuntimeError(f"never let: {name}")
            time.sleep(0.1)
        held.unlink(missing_ok=True)


def make_gated(weights=None, gate=None):
    return Gated(weights, gate)


# Batches over which the baseline's training speed is measured.
BASELINE_BATCHES = 5


class Deadly(Mine):
    """Its first trainings fail: by an error, by NaN, by a lack of memory, by a kill.

    One failure each, whatever their plans; a failure that has happened is a file in `ended`.
    `always` makes all trainings fail in that way; `late` spares the baseline's; `in_trials` fails
    until the file `mended` is in `ended`; `hang` hangs the first training of a trial.
    """

    ends = ("error", "nan", "memory", "kill")

    def __init__(self, weights=None, ended=None, always=None):
        super().__init__(weights)
        self.ended = ended and Path(ended)
        self.always = always

    def _end(self, seed):
        if self.always == "in_trials":
            mended = self.ended is not None and (self.ended / "mended").exists()
            return "error" if seed >= TRAINING_SEED and not mended else None
        hangs = self.always == "hang"
        if seed < TRAINING_SEED or (self.always and not hangs):
            return None if hangs else self.always
        for end in ("hang",) if hangs else self.ends:
            try:
                (self.ended / end).touch(exist_ok=False)
            except FileExistsError:
                continue
            return end
        return None

    def train_batches(self, batch_size, seed):
        end = self._end(seed)
        if end == "error":
            raise RuntimeError("the training data is gone")
        if end == "memory":
            np.ones(1 << 58)
        if end == "hang":
            # Native code that holds the interpreter's lock: no thread of this process continues.
            ctypes.PyDLL(None).pause()
        if end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        for count, batch in enumerate(super().train_batches(batch_size, seed)):
            # The baseline's have seed 0, whatever the run's.
            if end == "late" and (count == BASELINE_BATCHES or seed != 0):
                raise RuntimeError("the training data is gone")
            yield batch._replace(inputs=(batch.inputs[0] * np.nan,)) if end == "nan" else batch


def make_deadly(weights=None, ended=None, always=None):
    return Deadly(weights, ended, always)
