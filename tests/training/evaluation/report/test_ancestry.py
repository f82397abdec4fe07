"""Where weights came from, told from a manifest's record of the runs behind them."""

from training.evaluation.report.ancestry import began_packaged, origin, predecessors

FIRST = {"model": {"weights": "packaged"}}
NEXT = {"model": {"weights": "bundle", "weights_file": "models/chest-xray-0.9.0"}}
SOUP = NEXT | {"averaged_runs": [NEXT, NEXT], "averaged_with_start": True}
LAST = {"model": {"weights": "checkpoint", "weights_file": "runs/soup/best_model.pt"}, "began_with": SOUP}


def test_stages_are_told_from_the_first_to_the_last():
    assert origin(LAST).splitlines() == [
        "1. Training went on from chest-xray-0.9.0, backbone and head, whose own model card says where that one began.",
        "2. The weights of 2 runs and those that they began with were averaged (model soups, arXiv:2203.05482).",
        "3. Training went on from there.",
    ]
    assert origin(FIRST).startswith("The backbone began as EfficientNet-Lite0 with ImageNet weights")
    assert "2. The weights of a run and those that it began with were averaged" in origin(SOUP | {"averaged_runs": [NEXT]})
    assert "The weights of 2 runs, as they ended, and those" in origin(SOUP | {"averaged_last": True})
    assert "those that they began with" not in origin(SOUP | {"averaged_with_start": False})


def test_released_models_behind_the_weights_are_found_through_every_stage():
    assert predecessors(LAST) == predecessors(SOUP) == predecessors(NEXT) == ["chest-xray-0.9.0"]
    assert predecessors(FIRST) == []
    assert began_packaged(FIRST) and began_packaged({"model": {"weights": "checkpoint"}, "began_with": FIRST})
    assert not began_packaged(LAST)


def test_what_is_not_recorded_is_said_to_be():
    assert origin({}) == "Where the backbone's first weights came from is not recorded."
