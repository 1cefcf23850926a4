"""Plain YAML is read as by PyYAML; anything else gives one short error."""

from pathlib import Path

import pytest
import yaml

import clusters
from spaces.errors import TaskError
from trainables.files.yaml_reader import LIMITS, YamlError, read_yaml
from trainables.tasks.config_file import read_config

CONFIGURATION = """
Global: &global {epochs: 20, use_gpu: yes, seed: ~, name: "größe", rate: 1.0e-3, scale: 1.0/255.0}
Arch:
  <<: *global
  pretrained: False
  layers: [1, 2.5, .inf, 0x1F, 12:30]
text: |
  two
  lines
empty:
"""


@pytest.mark.parametrize("text", [CONFIGURATION, "", "3", "[]"])
def test_plain_values_are_read_as_by_the_safe_loader(text):
    assert read_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["1e-3", "-2E+3", "+1e2"])
def test_a_number_needs_no_point_before_its_exponent(text):
    assert read_yaml(text) == float(text)
    assert read_yaml(f"'{text}'") == text and read_yaml(f"{text}x") == f"{text}x"


def test_profiles_are_read_as_by_the_safe_loader():
    for path in Path(clusters.__file__).parent.glob("*.yaml"):
        assert read_yaml(path.read_text()) == yaml.safe_load(path.read_text())


def test_a_date_stays_the_text_that_it_was():
    assert read_yaml("[2026-01-02, 2026-99-99]") == ["2026-01-02", "2026-99-99"]


@pytest.mark.parametrize(
    "text, said",
    [
        ("[" * 5000, "deeper"),
        ("[" * (LIMITS.depth + 1) + "]" * (LIMITS.depth + 1), "deeper"),
        ("a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 99)), "deeper"),
        ("a: &a [*a]", "contains it"),
        ("x" * 1_000_001, "longer"),
        ("[" + "1," * 20_001 + "]", "20,000 values"),
        ("!!int x", "tag"),
        ("!!bool x", "tag"),
        ("!!int ''", "tag"),
        ("!!float x", "tag"),
        ("!!binary x", "tag"),
        ("!!set {a, b}", "tag"),
        ("!!python/object/apply:os.getcwd []", "tag"),
        ("!COCODataSet {}", "tag"),
        ("9" * 5000, "63 bits"),
        ("0x" + "f" * 5000, "63 bits"),
        ('"\\0"', "zero byte"),
        ("? [1]\n: 2", "unhashable"),
        ("a: b: c", "line 1, column 5"),
        ("a: 'x", "line 1"),
        ("\x07", "special characters"),
        ("*a", "undefined alias"),
        ("<<: 3", "merging"),
        ("%YAML 9.9\n---\n", "version"),
        ("---\na\n---\nb", "another document"),
    ],
)
def test_anything_else_is_refused_in_one_short_line(text, said):
    with pytest.raises(YamlError) as caught:
        read_yaml(text)
    line = str(caught.value)
    assert said in line
    assert len(line) < 200 and "\n" not in line


def test_a_toolkits_configuration_has_the_same_limits(tmp_path):
    file = tmp_path / "net.yml"
    file.write_text("Arch: " + "[" * 5000)
    with pytest.raises(TaskError, match=r"net\.yml is not YAML .*deeper"):
        read_config(file, "PaddleClas", "Arch")
