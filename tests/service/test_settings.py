import pytest

from service.errors import SettingsError
from service.settings import BENTOML_TIMEOUT_SECONDS, Settings, read_settings


@pytest.fixture
def environment(monkeypatch):
    """Sets CXR_ variables in the real environment and returns what to check."""

    def of(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return variables

    return of


def test_variables_with_the_prefix_are_read(environment):
    settings = read_settings(environment(CXR_THREADS="3", CXR_BUNDLE="chest-xray:1.0.0", CXR_EXPLAIN_PRELOAD="true"))
    assert (settings.threads, settings.bundle, settings.explain_preload) == (3, "chest-xray:1.0.0", True)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("CXR_THREAD", r"did you mean CXR_THREADS\?"), ("CXR_WEATHER", "the settings are CXR_ALLOWED_NETWORKS, ")],
)
def test_an_unknown_variable_raises_and_names_the_nearest_one_or_all(environment, name, hint):
    with pytest.raises(SettingsError, match=f"Unknown setting {name}; {hint}"):
        read_settings(environment(**{name: "3"}))


def test_what_is_meant_for_the_tests_is_no_setting(environment):
    assert read_settings(environment(CXR_TEST_FILMS="a folder")) == read_settings({})


ORIGIN = "must be an origin such as https://viewer.example, in lower case and without a slash at its end"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CXR_THREADS", "0", "must be 1 or more"),
        ("CXR_THREADS", "many", "must be a whole number"),
        ("CXR_QUEUE_LIMIT", "9", "must be 10 or more"),
        ("CXR_TIMEOUT_SECONDS", str(BENTOML_TIMEOUT_SECONDS), "must be less than 120.0"),
        ("CXR_MAX_PIXELS", "-1", "must be 1 or more"),
        ("CXR_KEEP_ALIVE_SECONDS", "0", "must be 1 or more"),
        ("CXR_HEAD_TIMEOUT_SECONDS", "soon", "must be a whole number"),
        ("CXR_AUTH", "key", "must be 'none', 'keys', 'tokens' or 'keys_and_tokens'"),
        ("CXR_ENVIRONMENT", "prod", "must be 'development' or 'production'"),
        ("CXR_EXPLAIN_PRELOAD", "maybe", "must be true or false"),
        ("CXR_SITE", "", "must be a folder; set none to apply no profile, or remove it to apply the chosen one"),
        ("CXR_ALLOWED_NETWORKS", "10.0.0.1/8", "must be a network such as 10.0.0.0/8 or 2001:db8::/32"),
        *[("CXR_CORS_ORIGINS", origin, ORIGIN) for origin in ("viewer.example", "https://v.example/", "https://V.example")],
    ],
)
def test_an_impossible_value_raises_and_is_told_what_is_possible(environment, name, value, words):
    with pytest.raises(SettingsError) as refused:
        read_settings(environment(**{name: value}))
    assert str(refused.value) == f"Wrong setting: {name} is {value!r}, but {words}."


def test_origins_are_taken_as_browsers_send_them(environment):
    origins = "https://viewer.example,http://localhost:8080, http://[::1]:80 ,app://viewer,*"
    assert read_settings(environment(CXR_CORS_ORIGINS=origins)).cors_origins == tuple(map(str.strip, origins.split(",")))


def test_defaults_need_no_environment(environment):
    settings = read_settings(environment())
    assert settings.bundle is None
    assert settings.threads >= 1
    # nginx's upstreams and Amazon's balancers keep idle connections for 60 s, Traefik and Go's proxies for 90 s.
    assert settings.keep_alive_seconds > 90
    with pytest.raises(ValueError, match="frozen"):
        settings.threads = 2


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"CXR_MAX_HELD_BYTES": "1000"}, "CXR_MAX_BATCH_BYTES, which is 104857600"),
        ({"CXR_MAX_HELD_BYTES": "104857599"}, "CXR_MAX_BATCH_BYTES"),
        ({"CXR_MAX_UPLOAD_BYTES": "500000000"}, "CXR_MAX_UPLOAD_BYTES, which is 500000000"),
    ],
)
def test_less_memory_than_one_body_takes_raises_and_names_both_settings(environment, variables, named):
    with pytest.raises(SettingsError, match=rf"CXR_MAX_HELD_BYTES is \d+, below {named}"):
        read_settings(environment(**variables))


def test_memory_for_exactly_one_body_is_enough(environment):
    assert read_settings(environment(CXR_MAX_HELD_BYTES=str(100 * 2**20))).max_held_bytes == 100 * 2**20


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described_in_whole_sentences(name):
    description = Settings.model_fields[name].description or ""
    assert description[:1].isupper() or description.startswith("`")
    assert description.endswith(".")
