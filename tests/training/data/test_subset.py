"""Stratified subsets of films."""

from training.data.subset import stratified_subset


def test_a_subset_keeps_the_shares_of_all_strata():
    strata = [("a", "x")] * 60 + [("a", "y")] * 30 + [("b", "x")] * 10
    chosen = stratified_subset(strata, 50, seed=4)
    assert [sum(strata[index] == stratum for index in chosen) for stratum in (("a", "x"), ("a", "y"), ("b", "x"))] == [
        30,
        15,
        5,
    ]
    assert list(chosen) == sorted(set(chosen.tolist()))


def test_a_larger_subset_holds_the_smaller_one_and_seeds_differ():
    strata = [("a", "x")] * 60 + [("b", "y")] * 37
    small, large = (set(stratified_subset(strata, size, seed=1).tolist()) for size in (20, 50))
    assert small < large
    assert small != set(stratified_subset(strata, 20, seed=2).tolist())
    assert len(stratified_subset(strata, 1000, seed=1)) == 97
