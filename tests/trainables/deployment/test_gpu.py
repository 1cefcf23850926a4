"""The part of the code for GPUs that runs without one."""

import paddle.inference
import pytest

from spaces.errors import ConfigError
from spaces.plan import QuantizationChoice
from trainables.deployment import gpu
from trainables.deployment.engines.paddle_inference import switches
from trainables.deployment.engines.registry import offered_choices, runtime
from trainables.settings import TrialSettings


def settings_of(kind):
    return TrialSettings(run_folder="run", cache_folder=None, engine=kind)


pytestmark = pytest.mark.skipif(gpu.has_gpu(), reason="there is a GPU")


def test_without_a_gpu_the_cpu_is_used():
    assert gpu.choose_device() == "cpu"
    assert gpu.distributed_backend() == "gloo"
    gpu.synchronize()


@pytest.mark.parametrize("kind", ["gpu", "tensorrt"])
def test_an_engine_that_has_no_gpu_says_so_in_one_line(kind):
    with pytest.raises(ConfigError, match="paddle sees no GPU") as caught:
        gpu.configure(paddle.inference.Config(), kind, "float")
    assert "\n" not in str(caught.value)


def test_bfloat16_is_the_cpus_alone():
    assert offered_choices(settings_of("gpu")) == (QuantizationChoice.FLOAT,)
    assert QuantizationChoice.BFLOAT16 not in offered_choices(settings_of("tensorrt"))
    assert QuantizationChoice.INT8_PTQ in offered_choices(settings_of("tensorrt"))


def test_engines_have_fingerprints_of_their_own():
    assert len({runtime(kind).describe("float") for kind in ("onednn", "gpu", "tensorrt")}) == 3
    assert switches("int8", "tensorrt") == {"enable_use_gpu": True, "enable_tensorrt_engine": True}
