"""Nodes that lack what is asked for, and trials that hang: real Ray, trials that are formulas."""

import ctypes
import io
import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from ray import tune
from rich.console import Console

import clusters.waiting
from clusters.connect import Cluster
from search.cli.interrupts import interruptible
from search.config import RunConfig
from search.console import Display
from search.context import StudyContext, cluster_of
from search.needs import check_needs
from search.records.ledger import Ledger
from search.records.opening import create_run
from search.stages.search import search_plans
from search.tune.plan_source import Sources
from spaces.errors import ConfigError
from spaces.plan import Plan, PruningGroup
from spaces.space import Space
from tests.helpers.support import patiently
from tests.search.made_run import baseline
from tests.search.tune.tabulated import FLOAT, PTQ, reported, tabulated
from trainables.trainable import PLAN

SPACE = Space(tuple(PruningGroup(name, 64) for name in "ab"), (FLOAT, PTQ))


def display():
    file = io.StringIO()
    return Display(Console(file=file, width=300)), file


class Hangs(tune.Trainable):
    """The first trial hangs in native code that keeps the interpreter's lock."""

    def setup(self, config, settings, baseline, node):
        self._folder = Path(baseline.fingerprint)
        self.reset_config(config)

    def reset_config(self, new_config):
        self._plan = new_config[PLAN]
        return True

    def step(self):
        try:
            with (self._folder / "hangs").open("x") as file:
                file.write(self._plan)
        except FileExistsError:
            return reported(tabulated(Plan.from_json(json.loads(self._plan))))
        return ctypes.PyDLL(None).pause()


pytestmark = pytest.mark.usefixtures("without_token")


@contextmanager
def nodes_that_come(monkeypatch, said):
    """Start a Ray of one core; give what adds a node of two once a line says that one lacks."""
    import ray.cluster_utils
    from ray._private import services

    monkeypatch.setattr(services, "get_node", patiently(services.get_node))
    monkeypatch.setattr(clusters.waiting, "EVERY_S", 0.5)
    cluster = ray.cluster_utils.Cluster(
        initialize_head=True, head_node_args={"include_dashboard": False, "num_cpus": 1}
    )
    try:
        # A node can then be added in a thread: no handler of a signal is asked for.
        with interruptible():
            yield cluster
    finally:
        cluster.shutdown()


@pytest.mark.slow
def test_what_lacks_is_refused_or_said_and_a_hung_trial_fails(tmp_path, monkeypatch):
    shown, said = display()
    with nodes_that_come(monkeypatch, said) as nodes:
        config = RunConfig(
            budget=0.1,
            trials=6,
            out=str(tmp_path / "run"),
            threads=2,
            trial_limit_s=3.0,
            # One level.
            retrain_samples=1,
            address=nodes.address,
            concurrency=1,
        )
        run = create_run(config)
        with cluster_of(config, shown) as cluster:
            refused_on_a_local_one(replace(cluster, local=True))
            study = StudyContext.of(config, run, cluster, shown)
            assert "a trial will wait for nodes: no node has 2 cores; the largest has 1 core" in (
                said.getvalue()
            )
            add_node_once_it_is_said(nodes, said, monkeypatch)
            study.store.create()
            ledger = Ledger.load(study.store, config.budget, SPACE.groups)
            told = baseline(fingerprint=str(tmp_path), train_s=0.0, evaluate_s=0.0)
            search_plans(study, told, Sources(SPACE), ledger, Hangs)
    run.release()
    assert "search: " in said.getvalue()
    hung = Plan.from_json(json.loads((tmp_path / "hangs").read_text()))
    # On a machine that stands still for so long, others are taken for hung too.
    assert hung in [record.plan for record in ledger.failed()]
    assert all("took more than 3 s" in record.result.reason for record in ledger.failed())
    assert len(ledger.records) == 6 and ledger.complete()
    assert {record.result.state for record in ledger.records.values()} == {"COMPLETE", "FAILED"}
    assert ledger.lost() == (0, 0.0), "it would hang again"


def add_node_once_it_is_said(nodes, said, monkeypatch):
    """Add the node that is missing, as soon as the search has said that it waits for one."""
    look = clusters.waiting._nodes

    def look_and_add():
        if "search: " in said.getvalue() and len(nodes.list_all_nodes()) == 1:
            assert "waiting for nodes: no node has 2 cores" in said.getvalue()
            nodes.add_node(num_cpus=2)
        return look()

    monkeypatch.setattr(clusters.waiting, "_nodes", look_and_add)


def refused_on_a_local_one(cluster: Cluster):
    """Assert that what one core cannot do is refused, in a line that names the setting."""
    for settings, words in (
        ({"threads": 3}, "threads=3: a trial takes 3 cores, and this machine has 1 core"),
        ({"gpus_per_trial": 2}, "gpus_per_trial=2: a trial takes 2 GPUs, and this machine has"),
        ({"target_resource": "fsat"}, "target_resource=fsat: no node has it"),
        ({"memory_gb_per_trial": 1000}, "memory_gb_per_trial=1000: a trial takes 1000.0 GB, and"),
        ({"retrain_workers": 4}, "retrain_workers=4: each takes 1 core, and this machine has 1"),
    ):
        with pytest.raises(ConfigError) as refused:
            check_needs(RunConfig(budget=0.1, **settings), cluster, display()[0])
        assert words in str(refused.value)
        assert len(str(refused.value)) <= 300
    check_needs(RunConfig(budget=0.1), cluster, display()[0])
