"""The command and the table of PP-OCR's models."""

from dataclasses import replace

from benchmarks.delivered import ocr
from benchmarks.delivered.judging import Judged, OnEngine

MODEL = Judged(
    *("ocr_recogniser", "ours", 0, 0.02, True, 0.4, 0.25, 0.01, 0.003, 0.012, 0.004, 1400.0),
    on_engine=OnEngine(
        *(
            "openvino",
            "int8",
            "line_agreement",
            0.4,
            (1.0, 0.988),
            (20.0, 8.0),
            (10_936_308, 2_734_077),
        ),
        untrained_ms=12.0,
    ),
)
NONE = replace(MODEL, method="auto_compression", delivered=False, on_engine=None)


def test_a_row_has_the_shipped_models_figures_and_the_delivered_ones():
    assert ocr.line(MODEL) == (
        "| ocr_recogniser | ours | openvino, int8 | 20.00 to 8.00 (2.50x) | 1.50x "
        "| 10.94 to 2.73 (4.00x) | line_agreement 1.000 to 0.988 (+1.20% loss) | 0.75 | 0.25 "
        "| 1400 |"
    )


def test_a_method_that_delivers_nothing_has_a_row_and_rows_are_in_order():
    rows = ocr.table([NONE, MODEL, replace(MODEL, problem="ocr_detector")]).splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == [
        "| ocr_detector",
        "| ocr_recogniser",
        "| ocr_recogniser",
    ]
    assert "nothing keeps the budget" in rows[-1]
    assert {row.count("|") for row in ocr.table([NONE, MODEL]).splitlines()} == {11}


def test_a_folder_that_is_no_wheel_is_refused_in_one_line(tmp_path, capsys):
    work = ["--work", str(tmp_path / "work")]
    status = ocr.main(["--exported", str(tmp_path), "--only", "ocr_classifier", *work])
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "has no models/ch_ppocr_mobile_v2_cls_infer/inference.pdmodel" in line
