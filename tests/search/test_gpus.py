"""Where Ray places trials and workers on GPUs that it counts, and nobody has."""

import pytest

from tests.helpers.gate import UNFINISHED
from tests.helpers.support import killed_when, ray_cluster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def with_gpus(local_workplace):
    """A cluster of two GPUs and four cores, as far as Ray knows."""
    with ray_cluster(local_workplace, num_cpus=4, num_gpus=2) as place:
        yield place


def watched(place, name, trials, together):
    """Return the folder where a search notes who trains, its arguments and its settings.

    A trial goes on once `together` processes have trained for trials.
    """
    seen = place.folder / f"{name}-seen"
    seen.mkdir()
    arguments = (*place.task("make_watched"), "--trials", str(trials))
    return (
        seen,
        (*arguments, "--out", str(place.folder / name)),
        {
            "choices": "[float, int8_ptq]",
            **UNFINISHED,
            "task_options": f"{{seen: {seen}, weights: {place.weights}, together: {together}}}",
        },
    )


def trained(seen):
    """Return who trained where: (rank, GPUs, process), the rank "trial" for a trial's."""
    return [tuple(path.name.split("-")) for path in seen.iterdir()]


def test_a_gpu_a_trial_and_a_retrain_over_all_of_them(with_gpus):
    seen, arguments, settings = watched(with_gpus, "gpu-each", 4, together=2)
    ended = with_gpus.run(*arguments, gpus_per_trial=1, retrain_workers="null", **settings)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert {gpus for rank, gpus, _ in trained(seen) if rank == "trial"} == {"0", "1"}
    assert {rank for rank, _, _ in trained(seen)} == {"trial", "0", "1"}


def test_two_trials_share_a_gpu(with_gpus):
    # None ends before all have begun: each would be done by the first.
    seen, arguments, settings = watched(with_gpus, "gpu-half", 6, together=4)
    run = with_gpus.folder / "gpu-half"
    # Nothing after that matters here.
    killed_when(
        *(with_gpus, arguments, run, lambda: len(trained(seen)) >= 4),
        gpus_per_trial=0.5,
        concurrency=4,
        **settings,
    )
    # A search that was killed late may have begun to retrain.
    trials = [gpus for rank, gpus, _ in trained(seen) if rank == "trial"]
    assert sorted(trials) == ["0", "0", "1", "1"]
