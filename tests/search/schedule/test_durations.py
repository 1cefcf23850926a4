"""Durations, as users write and read them."""

import pytest

from search.schedule.durations import about, duration_text, minutes, parse_duration


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("1h2m3s", 3723),
        (" 0.5s ", 0.5),
    ],
)
def test_a_duration_is_numbers_with_units(text, seconds):
    assert parse_duration(text) == seconds
    assert parse_duration(duration_text(seconds)) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "30", "m", "0s", "0h0m", "-5m", "5 m", "30m1h", "1d", "1h30", "inf", "٣s", "9" * 400],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError):
        parse_duration(text)


@pytest.mark.parametrize("seconds, text", [(90, "1m30s"), (5400, "1h30m"), (1.25, "1.25s")])
def test_a_duration_is_written_with_its_largest_units(seconds, text):
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    "seconds, text", [(40, "40 s"), (720, "12 min"), (12_600, "3.5 h"), (89, "89 s")]
)
def test_durations_as_people_say_them(seconds, text):
    assert minutes(seconds) == text


@pytest.mark.parametrize(
    "least, most, text",
    [
        (240, 540, "6 min (4 to 9)"),
        (240, 299, "4 min"),
        (30, 80, "49 s (30 to 80)"),
        (60, 500, "3 min (1 to 8)"),
        (3600, 3 * 3600, "1.7 h (1.0 to 3.0)"),
        (0, 0, "0 s"),
    ],
)
def test_an_estimate_has_a_range_only_if_it_is_wide(least, most, text):
    assert about(least, most) == text
