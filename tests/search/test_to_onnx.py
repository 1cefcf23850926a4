"""Where the ONNX file goes; test_afterwards.py converts a real model."""

from types import SimpleNamespace

import pytest

from search import to_onnx


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["RUN"], "RUN/model.onnx"),
        (["s3://bucket/RUN"], "model.onnx"),
        (["RUN", "--out", "mine.onnx"], "mine.onnx"),
    ],
)
def test_the_file_is_the_runs_unless_named(arguments, expected, tmp_path, monkeypatch, capsys):
    written = []

    def job(settings, files, plan, model, file):
        assert model == str(tmp_path / "RUN" / "model")
        written.append(file)
        return SimpleNamespace(size_bytes=12_345_678, difference=0.001)

    found = SimpleNamespace(folder=tmp_path / "RUN", settings=None, files=None, plan=None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(to_onnx, "open_delivered", lambda run: found)
    monkeypatch.setattr(to_onnx, "onnx_job", job)
    assert to_onnx.main(arguments) == 0
    assert written == [str(tmp_path / expected)]
    said = capsys.readouterr().out
    assert said.startswith(f"{written[0]}: 12,346 kB, outputs differ from Paddle's by 0.1%")
