"""The table of models and engines."""

from dataclasses import replace

from benchmarks.models.engines import HEADER, Export, Row, lines, read_rows, table, write_rows

ROW = Row(
    "Small",
    (3, 8, 8),
    "top1_accuracy",
    (
        Export("onednn", "float", 2.0, 1.5, 4_000_000, 2_000_000, 0.75),
        Export("onednn", "int8", 1.0, 0.5, 1_000_000, 500_000, 0.7),
        Export("onnxruntime", "float", reason="an operator is not known"),
    ),
    processor="a",
    date="2026-01-01",
)


def test_an_engine_has_a_line_with_all_of_its_precisions():
    onednn, onnxruntime = lines(ROW)
    assert onednn == (
        "| Small | onednn | 2.00 | - | 1.00 | 0.50 | 4.00 / - / 1.00 "
        "| top1_accuracy 0.750 / - / 0.700 |"
    )
    assert onnxruntime.startswith("| Small | onnxruntime | - | - | - | - |")
    assert {line.count("|") for line in table([ROW]).splitlines()} == {HEADER.count("|") // 2}


def test_a_model_that_failed_has_the_reason():
    (line,) = lines(replace(ROW, exports=(), failed="no such file"))
    assert "| no such file |" in line


def test_a_model_without_trained_weights_has_no_metric():
    exports = tuple(replace(export, metric=None) for export in ROW.exports)
    assert lines(replace(ROW, metric_name=None, exports=exports))[0].endswith("| - |")


def test_rows_are_read_as_they_were_written(tmp_path):
    file = tmp_path / "engines.json"
    assert read_rows(file) == []
    write_rows([ROW, replace(ROW, model="Other")], file)
    assert read_rows(file) == [ROW, replace(ROW, model="Other")]
