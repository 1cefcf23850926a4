"""All benchmarks can be imported: most take hours, so a moved name would show late."""

import importlib
import pkgutil

import pytest

import benchmarks

MODULES = [module.name for module in pkgutil.walk_packages(benchmarks.__path__, "benchmarks.")]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_can_be_imported(name):
    importlib.import_module(name)
