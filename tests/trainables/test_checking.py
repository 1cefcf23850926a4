from trainables.checking import check_task


def test_a_good_task_meets_every_demand(tiny_weights):
    demands = check_task("tests.tiny.mine:make_task", {"weights": str(tiny_weights)})
    assert [d for d in demands if not d.met] == []
    assert "2 groups can be pruned" in next(d.said for d in demands if d.name == "pruning groups")


def test_each_broken_demand_is_said_in_words(tiny_weights):
    demands = check_task("tests.tiny.mine:make_broken", {"weights": str(tiny_weights)})
    said = {demand.name: demand.said for demand in demands if not demand.met}
    assert "(1, 14, 14)" in said["eval_batches"]
    assert "(1, 28, 28)" in said["eval_batches"]
    assert "shape" in said["train_batches"]
    assert "'nowhere' is not in the model" in said["pruning groups"]


def test_untrained_weights_are_noticed():
    demands = check_task("tests.tiny.mine:make_task", {})
    said = {demand.name: demand.said for demand in demands if not demand.met}
    assert "trained weights" in said["build_model"]


def test_a_task_that_cannot_be_loaded_is_one_unmet_demand():
    demands = check_task("tests.tiny.mine:nothing", {})
    assert len(demands) == 1
    assert "no function 'nothing'" in demands[0].said
