"""Two real processes over gloo, started by Ray Train."""

import json

import pytest

from clusters.connect import connected

pytestmark = pytest.mark.slow


def loop(config):
    import os
    from pathlib import Path

    import paddle
    import paddle.distributed as dist

    dist.init_parallel_env()
    rank = dist.get_rank()
    summed = paddle.to_tensor([float(rank + 1)])
    dist.all_reduce(summed)

    # Each worker trains on its own half; the gradients must be those of the whole.
    paddle.seed(0)
    linear = paddle.nn.Linear(2, 1, bias_attr=False)
    start = linear.weight.numpy().ravel().tolist()
    model = paddle.DataParallel(linear)
    x = paddle.to_tensor([[1.0, 2.0]]) * (rank + 1)
    model(x).sum().backward()
    found = {
        "rank": rank,
        "size": dist.get_world_size(),
        "sum": float(summed),
        "start": start,
        "gradient": linear.weight.grad.numpy().ravel().tolist(),
        "endpoints": os.environ["PADDLE_TRAINER_ENDPOINTS"],
    }
    Path(config["folder"], f"{rank}.json").write_text(json.dumps(found))
    dist.barrier()


def test_two_workers_reduce_and_average_gradients(workplace, tmp_path):
    with connected(workplace.address, 1):
        from ray.train import RunConfig, ScalingConfig

        from clusters.paddle_backend import PaddleConfig
        from clusters.ray_quirks import lean_trainer

        lean_trainer()(
            loop,
            train_loop_config={"folder": str(tmp_path)},
            backend_config=PaddleConfig("gloo"),
            scaling_config=ScalingConfig(num_workers=2),
            run_config=RunConfig(storage_path=str(tmp_path / "ray"), name="reduce"),
        ).fit()
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert (first["rank"], second["rank"]) == (0, 1)
    assert first["size"] == second["size"] == 2
    assert first["sum"] == second["sum"] == 3.0
    assert first["start"] == second["start"]
    assert first["gradient"] == second["gradient"] == pytest.approx([1.5, 3.0])
    assert len(set(first["endpoints"].split(","))) == 2
