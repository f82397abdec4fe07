"""Whom the access policy lets in: address, credentials, role and rate together."""

import asyncio

import pytest

from service.access.keys import KeyStore
from service.access.policy import AccessPolicy
from service.access.rate_limit import RateLimiter
from service.access.roles import Role
from service.errors import AccessDenied, NotAuthenticated, RateLimited
from service.settings import Settings
from tests.support.server.tokens import AUDIENCE, ISSUER, token


def admit(policy, path="/predict", peer="10.1.2.3", forwarded_for=None, **headers):
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.run(policy.admit(path, given, peer, forwarded_for))


@pytest.fixture
def guarded(database, key_set):
    """A policy with keys and tokens, and a key of each role."""
    settings = Settings(
        auth="keys_and_tokens", jwks=str(key_set), token_issuer=ISSUER, token_audience=AUDIENCE, rate_limit="5/minute"
    )
    store = KeyStore(database)
    return AccessPolicy(settings, database), {role: store.create(f"{role}_1", role)[0] for role in Role}


def test_one_credential_of_a_known_kind_is_taken(guarded):
    policy, by_role = guarded
    both = admit(policy, x_api_key=by_role[Role.ADMIN], authorization=f"Bearer {token()}")
    for refused in (both, admit(policy, authorization="Basic abc")):
        assert isinstance(refused.refusal, NotAuthenticated)


def test_blanks_around_a_credential_are_no_part_of_it(guarded):
    """RFC 9110, 5.5; servers cut them off in front only. The scheme's case means nothing (11.1)."""
    policy, by_role = guarded
    policy._limiter = RateLimiter("1000/minute")
    key = by_role[Role.CLINICIAN]
    for sent in (key, f" {key}", f"{key} ", f"\t{key} \t"):
        assert admit(policy, x_api_key=sent).caller.user_id == "clinician_1"
    for scheme in ("Bearer", "bearer", "BEARER", " Bearer", "Bearer  "):
        for credential, user in ((key, "clinician_1"), (token(), "dr_who")):
            assert admit(policy, authorization=f"{scheme} {credential} ").caller.user_id == user
    # An empty field beside the other is no second credential.
    assert admit(policy, x_api_key=" ", authorization=f"Bearer {token()}").caller.user_id == "dr_who"


@pytest.mark.parametrize(
    ("auth", "words"),
    [
        ("keys", "API key missing: send an API key in the X-API-Key header, or enter it on the web page."),
        ("tokens", "Access token missing: send a token in the Authorization header, as Bearer <token>."),
        ("keys_and_tokens", "API key missing: send an API key in the X-API-Key header, or enter it on the web page, or send a"),
    ],
)
def test_who_says_nothing_is_told_what_to_do_at_the_page_and_in_a_program(database, key_set, auth, words):
    settings = Settings(auth=auth, jwks=str(key_set), token_issuer=ISSUER, token_audience=AUDIENCE)
    refusal = admit(AccessPolicy(settings, database)).refusal
    assert isinstance(refusal, NotAuthenticated)
    assert str(refusal).startswith(words)


def test_calls_that_a_role_does_not_allow_are_limited_like_others_with_or_without_a_slash_at_the_end(guarded):
    policy, by_role = guarded
    paths = ("/audit", "/audit/") * 3
    refusals = [type(admit(policy, path, x_api_key=by_role[Role.CLINICIAN]).refusal) for path in paths]
    assert refusals == [AccessDenied] * 5 + [RateLimited]


def test_a_credential_of_a_kind_that_is_off_is_refused(database):
    policy = AccessPolicy(Settings(auth="keys"), database)
    refusal = admit(policy, authorization=f"Bearer {token()}").refusal
    assert isinstance(refusal, NotAuthenticated)
    assert str(refusal).startswith("Access tokens are not accepted here: send an API key in the X-API-Key header")


def test_the_rate_is_counted_for_each_key_and_for_each_address_of_strangers_who_then_leave_no_rows(guarded):
    policy, by_role = guarded
    outcomes = [admit(policy, x_api_key=by_role[Role.CLINICIAN]) for _ in range(8)]
    assert [type(outcome.refusal) for outcome in outcomes] == [type(None)] * 5 + [RateLimited] * 3
    assert all(outcome.is_recorded for outcome in outcomes)
    assert admit(policy, x_api_key=by_role[Role.ADMIN]).refusal is None
    strangers = [admit(policy, peer="10.9.9.9") for _ in range(8)]
    assert [type(outcome.refusal) for outcome in strangers] == [NotAuthenticated] * 5 + [RateLimited] * 3
    assert [outcome.is_recorded for outcome in strangers] == [True] * 5 + [False] * 3  # they could fill the disk
    assert isinstance(admit(policy, peer="10.9.9.8").refusal, NotAuthenticated)
    # All addresses that one host of IPv6 may have count as one.
    assert [admit(policy, peer=f"2001:db8::{number}").is_recorded for number in range(8)] == [True] * 5 + [False] * 3


def test_addresses_off_the_list_that_come_too_often_leave_no_more_rows(database):
    policy = AccessPolicy(Settings(allowed_networks="10.0.0.0/8", rate_limit="5/minute"), database)
    outcomes = [admit(policy, peer="203.0.113.1") for _ in range(7)]
    assert [outcome.is_recorded for outcome in outcomes] == [True] * 5 + [False] * 2
    assert [type(outcome.refusal) for outcome in outcomes] == [AccessDenied] * 5 + [RateLimited] * 2


def test_addresses_off_the_list_are_refused_but_for_probes(database):
    policy = AccessPolicy(Settings(allowed_networks="10.0.0.0/8,2001:db8::/32"), database)
    assert admit(policy).refusal is None
    assert admit(policy, peer="2001:db8::1").refusal is None
    for path in ("/predict", "/", "/metrics", "/nowhere"):
        assert isinstance(admit(policy, path, peer="203.0.113.1").refusal, AccessDenied)
        assert isinstance(admit(policy, path, peer=None).refusal, AccessDenied)
        assert isinstance(admit(policy, path, peer="203.0.113.1", forwarded_for="10.0.0.1").refusal, AccessDenied)
    for path in ("/readyz", "/readyz/"):
        assert admit(policy, path, peer="203.0.113.1").refusal is None


def test_without_access_control_everybody_comes_in(database):
    policy = AccessPolicy(Settings(), database)
    assert policy.is_open
    assert [admit(policy).refusal for _ in range(300)] == [None] * 300
