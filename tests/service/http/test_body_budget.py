import pytest

from service.errors import Overloaded
from service.http.body_budget import BodyBudget


def test_bodies_are_held_up_to_the_limit_together():
    budget = BodyBudget(100)
    with budget.holding() as one, budget.holding() as other:
        one(60)
        other(40)
        with pytest.raises(Overloaded):
            other(1)


def test_what_an_ended_request_held_is_free_again():
    budget = BodyBudget(100)
    with pytest.raises(RuntimeError, match="client went away"), budget.holding() as hold:
        hold(100)
        raise RuntimeError("client went away")
    with budget.holding() as hold:
        hold(100)


def test_a_refused_chunk_is_not_counted():
    budget = BodyBudget(100)
    with budget.holding() as refused, budget.holding() as other:
        refused(50)
        with pytest.raises(Overloaded):
            refused(51)
        other(50)
