import inspect

import pytest

from service.errors import ServiceError
from service.film.errors import ChestXrayError, InputError
from service.http.problems import STATUS_OF, problem_of
from service.model.errors import BundleError

EXPECTED = {
    "MalformedRequest": 400,
    "UnreadableImage": 400,
    "UnknownOperatingPoint": 400,
    "UnknownFinding": 400,
    "UploadTooLarge": 413,
    "ImageTooLarge": 413,
    "UnsupportedFormat": 415,
    "UnsupportedImage": 422,
    "UnsupportedDicom": 422,
    "ImageTooSmall": 422,
    "AspectRatioTooExtreme": 422,
    "NotAuthenticated": 401,
    "AccessDenied": 403,
    "PredictionNotFound": 404,
    "RateLimited": 429,
    "Overloaded": 503,
    "RecordsUnavailable": 503,
    "IssuerUnavailable": 503,
    "ReloadInProgress": 503,
    "DecoderFailed": 503,
    "ModelUnavailable": 503,
    "OutOfTime": 504,
}


def subclasses(root):
    return {root} | {leaf for child in root.__subclasses__() for leaf in subclasses(child)}


def test_every_input_and_service_error_has_a_status():
    concrete = subclasses(InputError) | subclasses(ServiceError)
    assert concrete - {InputError, ServiceError} == set(STATUS_OF)
    assert {kind.__name__: status.value for kind, status in STATUS_OF.items()} == EXPECTED


def test_no_other_error_is_ever_told_to_a_client():
    others = subclasses(ChestXrayError) - set(STATUS_OF)
    assert BundleError in others
    for kind in others:
        with pytest.raises(KeyError):
            problem_of(kind("secret"))


def test_input_errors_are_the_clients_and_service_errors_are_ours():
    for kind, status in STATUS_OF.items():
        assert (400 <= status < 500) == issubclass(kind, InputError)


def test_503_says_when_to_try_again():
    assert all("Retry-After" in problem_of(kind("")).headers for kind, status in STATUS_OF.items() if status == 503)


def test_all_errors_of_the_tree_are_documented():
    assert all(inspect.getdoc(kind) for kind in subclasses(ChestXrayError))
