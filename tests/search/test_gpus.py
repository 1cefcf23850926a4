"""Where Ray places trials and workers on GPUs that it counts, and nobody has."""

import pytest

from tests.helpers.support import ray_cluster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def with_gpus(local_workplace):
    """A cluster of two GPUs and four cores, as far as Ray knows."""
    with ray_cluster(local_workplace, num_cpus=4, num_gpus=2) as place:
        yield place


def searched(place, name, together=1, **settings):
    """Return who trained where in a search: trials as (GPUs, process), the retrain's workers as
    (rank, GPUs). A trial goes on once `together` processes have trained for trials.
    """
    run, seen = place.folder / name, place.folder / f"{name}-seen"
    seen.mkdir()
    ended = place.run(
        *("--budget", "0.1", *place.task("make_watched"), "--trials", "6", "--out", str(run)),
        choices="[float, int8_ptq]",
        task_options=f"{{seen: {seen}, weights: {place.weights}, together: {together}}}",
        **settings,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    notes = [tuple(path.name.split("-")) for path in seen.iterdir()]
    trials = {(gpus, pid) for rank, gpus, pid in notes if rank == "trial"}
    workers = {(rank, gpus) for rank, gpus, _ in notes if rank != "trial"}
    return trials, workers


def test_a_gpu_a_trial_and_a_retrain_over_all_of_them(with_gpus):
    trials, workers = searched(
        with_gpus, "gpu-each", together=2, gpus_per_trial=1, retrain_workers="null"
    )
    assert {gpus for gpus, _ in trials} == {"0", "1"}
    assert {rank for rank, _ in workers} == {"0", "1"}


def test_two_trials_share_a_gpu(with_gpus):
    trials, _ = searched(
        with_gpus,
        "gpu-half",
        # None ends before all have begun: each would be done by the first.
        together=4,
        gpus_per_trial=0.5,
        concurrency=4,
    )
    for gpu in ("0", "1"):
        assert len({pid for gpus, pid in trials if gpus == gpu}) >= 2
