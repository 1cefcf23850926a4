"""A retrain by two real processes over gloo, started by Ray Train."""

import pytest

from clusters.connect import connected
from clusters.paddle_backend import PaddleConfig
from clusters.ray_quirks import lean_trainer
from spaces.plan import Plan, QuantizationChoice
from trainables.deployment.exported import WEIGHTS_FILE
from trainables.files.codec import decode
from trainables.files.node import Node
from trainables.jobs import RETRAIN_JOB, RetrainJob, retrain_loop
from trainables.results import RetrainFigures
from trainables.settings import OUTCOME, retrained_name
from trainables.trial import run_trial

pytestmark = pytest.mark.slow

# glibc overwrites freed memory, so that its use fails every time, not now and then.
OVERWRITE = {"env_vars": {"MALLOC_PERTURB_": "165"}}


def test_two_workers_train_in_float_and_then_under_quantization(context, workplace, tmp_path):
    plan = Plan.of({"conv1.weight": 0.5, "conv2.weight": 0.5}, QuantizationChoice.INT8_QAT_PACT)
    *_, trial = run_trial(70, plan, context)
    settings = context.settings.having(retrain_samples=6_400, retrain_qat_samples=640)
    with connected(workplace.address, 1, runtime_env=OVERWRITE):
        from ray.train import ControllerError, RunConfig, ScalingConfig

        def retrain(name):
            lean_trainer()(
                retrain_loop,
                train_loop_config={
                    RETRAIN_JOB: RetrainJob(settings, context.baseline, Node(), plan, 70, 0)
                },
                backend_config=PaddleConfig(),
                scaling_config=ScalingConfig(num_workers=2),
                run_config=RunConfig(storage_path=str(tmp_path), name=name),
            ).fit()

        try:
            retrain("retrain")
        except ControllerError:
            # Ray's controller failed: it lost its placement group on a busy machine. A worker that
            # crashes raises WorkerGroupError.
            retrain("again")
    retrained = settings.folder / retrained_name(70)
    outcome = decode(RetrainFigures, (retrained / OUTCOME).read_text())
    assert outcome.workers == 2
    # Ten times the trial's training, and four times under quantization.
    assert outcome.train_loss < 0.8 * trial.measurements[-1].train_loss
    assert outcome.metric > trial.metric
    weights = [folder / WEIGHTS_FILE for folder in (retrained, settings.candidate_folder(70))]
    assert weights[0].stat().st_size == weights[1].stat().st_size
