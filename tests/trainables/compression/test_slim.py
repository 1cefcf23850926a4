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
