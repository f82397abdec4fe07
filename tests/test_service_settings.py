import pytest

from service.contract.errors import ConfigError
from service.settings import BENTOML_TIMEOUT_SECONDS, read_settings


@pytest.fixture
def environment(monkeypatch):
    """Sets CXR_ variables in the real environment and returns what to check."""

    def of(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return variables

    return of


def test_defaults_need_no_environment(environment):
    settings = read_settings(environment())
    assert settings.bundle is None
    assert settings.threads >= 1
    assert settings.max_upload_bytes == 40 * 2**20


def test_variables_with_the_prefix_are_read(environment):
    settings = read_settings(environment(CXR_THREADS="3", CXR_BUNDLE="chest-xray:1.0.0", CXR_EXPLAIN_PRELOAD="true"))
    assert (settings.threads, settings.bundle, settings.explain_preload) == (3, "chest-xray:1.0.0", True)


def test_an_unknown_variable_raises_and_names_the_known_ones(environment):
    with pytest.raises(ConfigError, match=r"CXR_THREAD;.*CXR_THREADS"):
        read_settings(environment(CXR_THREAD="3"))


def test_what_is_meant_for_the_tests_is_no_setting(environment):
    assert read_settings(environment(CXR_TEST_FILMS="a folder")) == read_settings({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CXR_THREADS", "0"),
        ("CXR_THREADS", "many"),
        ("CXR_QUEUE_LIMIT", "9"),
        ("CXR_TIMEOUT_SECONDS", str(BENTOML_TIMEOUT_SECONDS)),
        ("CXR_MAX_PIXELS", "-1"),
    ],
)
def test_a_value_out_of_range_raises(environment, name, value):
    with pytest.raises(ConfigError, match=rf"out of range\. {name} is '{value}': Input should be .*\.$"):
        read_settings(environment(**{name: value}))


def test_settings_are_frozen(environment):
    with pytest.raises(ValueError, match="frozen"):
        read_settings(environment()).threads = 2
