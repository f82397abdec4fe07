import pytest

from service.errors import OutOfTime, ServiceError
from service.film.errors import ChestXrayError, InputError
from service.http.problems import STATUS_OF, problem_of
from service.model.errors import BundleError


def subclasses(root):
    return {root} | {leaf for child in root.__subclasses__() for leaf in subclasses(child)}


def test_every_input_and_service_error_has_a_status():
    concrete = subclasses(InputError) | subclasses(ServiceError)
    assert concrete - {InputError, ServiceError} == set(STATUS_OF)


def test_no_other_error_is_ever_told_to_a_client():
    others = subclasses(ChestXrayError) - set(STATUS_OF)
    assert BundleError in others
    for kind in others:
        with pytest.raises(KeyError):
            problem_of(kind("secret"))


def test_input_errors_are_the_clients_and_service_errors_are_ours():
    for kind, status in STATUS_OF.items():
        if issubclass(kind, InputError):
            assert 400 <= status < 500
        else:
            assert status == (504 if kind is OutOfTime else 503)


def test_503_says_when_to_try_again():
    assert all("Retry-After" in problem_of(kind("")).headers for kind, status in STATUS_OF.items() if status == 503)
