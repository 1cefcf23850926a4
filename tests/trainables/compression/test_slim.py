import subprocess
import sys

import paddle

from tests.helpers.tiny.mine import Mine
from trainables.compression.slim import QuantizationAware


def test_pact_clips_learnably_and_export_ends_in_dynamic_mode(tiny_weights, tmp_path):
    task = Mine(tiny_weights)
    model = task.build_model()
    quantization = QuantizationAware(model, pact=True)
    assert any("alpha" in name for name, _ in model.named_parameters())
    model.train()
    model(paddle.rand([4, 1, 14, 14]))
    quantization.export(task.inputs, tmp_path)
    assert (tmp_path / "inference.pdmodel").is_file()
    assert paddle.in_dynamic_mode()


PARTS = """
import sys
import trainables.compression.slim as slim
print(sorted({"paddleslim", "matplotlib", "scipy.stats"} & set(sys.modules)))
import paddleslim.dygraph.quant
print(paddleslim.quant.quant_post_static.__name__, paddleslim.prune.__name__)
"""


def test_only_the_parts_that_are_used_are_imported_and_the_whole_still_can_be():
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PARTS], capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines() == ["[]", "quant_post_static paddleslim.prune"]
