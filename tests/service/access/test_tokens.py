"""Bearer tokens of the issuer in tests/support/server/tokens.py."""

import base64
import hmac
from time import time

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.access.roles import Role
from service.access.tokens import TokenVerifier
from service.errors import AccessDenied, NotAuthenticated
from tests.support.server.tokens import AUDIENCE, EC, ISSUER, RSA, STRANGERS, token

# Not reckoned from now: tests are collected long before the last of them runs.
IN_2100 = 4_102_444_800


@pytest.fixture
def verifier(key_set):
    return TokenVerifier(str(key_set), ISSUER, AUDIENCE, "roles")


def test_a_good_token_names_its_caller(verifier):
    usual = token()
    for good in (usual, token(EC, "e1", "ES256"), token(exp=int(time()) - 10)):  # clocks may differ by so much
        caller = verifier.verify(good)
        assert (caller.user_id, caller.role) == ("dr_who", Role.CLINICIAN)
    assert not verifier.needs_look_up(usual)


def test_an_end_beyond_all_numbers_of_the_machine_is_an_end(verifier):
    """RFC 7519, 2: exp is any JSON number; one of over 308 digits is no float."""
    assert verifier.verify(token(exp=10**400)).user_id == "dr_who"


EXPIRED = "The token has expired; get a new one."
ELSEWHERE = "The token comes from another issuer; get a new one."
LACKING = "The token lacks one of the claims exp, iss, aud and sub; get a new one."
UNSIGNED = "The token is not signed with a key that its issuer publishes; get a new one."
NAMELESS = "The token's subject is not a plain name of up to 256 characters."


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"exp": 1}, EXPIRED),
        ({"exp": None}, LACKING),
        ({"iss": "https://elsewhere.example"}, ELSEWHERE),
        ({"iss": None}, LACKING),
        ({"aud": "another-service"}, "The token is meant for another service; get a new one."),
        ({"aud": None}, LACKING),
        ({"sub": None}, LACKING),
        ({"sub": "x" * 257}, NAMELESS),
        ({"sub": "forged\nline"}, NAMELESS),
        pytest.param({"nbf": IN_2100}, "The token is not valid yet; get a new one.", id="not yet valid"),
        pytest.param({"key": STRANGERS}, UNSIGNED, id="a stranger's key"),
        ({"kid": "e1"}, UNSIGNED),
        ({"kid": "unknown"}, UNSIGNED),
        ({"algorithm": "RS512"}, UNSIGNED),
    ],
    ids=str,
)
def test_a_token_that_is_wrong_in_one_way_is_refused_with_what_is_wrong(verifier, changes, fault):
    bad = token(**changes)
    with pytest.raises(NotAuthenticated) as refused:
        verifier.verify(bad)
    assert str(refused.value) == fault


def test_neither_unsigned_tokens_nor_public_keys_as_secrets_pass(verifier):
    unsigned = jwt.encode({"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": int(time()) + 60}, None, "none", {"kid": "r1"})
    head, body, _ = token().split(".")
    hs_head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"r1"}').decode().rstrip("=")
    secret = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signature = hmac.digest(secret, f"{hs_head}.{body}".encode(), "sha256")
    with_secret = f"{hs_head}.{body}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    for forged in (unsigned, with_secret, f"{head}.{body}.", f"{head}.{body}.AAAA", "a.b.c", "", "x" * 20_000):
        with pytest.raises(NotAuthenticated):
            verifier.verify(forged)


@pytest.mark.parametrize(
    ("claim", "claims", "role"),
    [
        ("roles", {"roles": ["guest", "audit", "admin"]}, Role.ADMIN),
        ("scope", {"scope": "openid clinician audit"}, Role.CLINICIAN),
        ("realm_access.roles", {"realm_access": {"roles": ["audit"]}}, Role.AUDIT),
        # Names with dots of their own, as Auth0 asks for: they are tried as they stand, at each level.
        ("https://hospital.example/roles", {"https://hospital.example/roles": ["audit"]}, Role.AUDIT),
        ("https://hospital.example/x.roles", {"https://hospital.example/x": {"roles": ["audit"]}}, Role.AUDIT),
        ("resource_access.my.app.roles", {"resource_access": {"my.app": {"roles": ["audit"]}}}, Role.AUDIT),
        ("a.roles", {"a.roles": ["audit"], "a": {"roles": ["admin"]}}, Role.AUDIT),
        ("a.b.roles", {"a.b": "audit", "a": {"b": {"roles": ["audit"]}}}, Role.AUDIT),
    ],
)
def test_roles_are_found_where_the_settings_say_and_the_strongest_counts(key_set, claim, claims, role):
    verifier = TokenVerifier(str(key_set), ISSUER, AUDIENCE, claim)
    assert verifier.verify(token(**claims)).role == role


@pytest.mark.parametrize("roles", [None, [], "", ["guest"], 7, {"admin": True}, [["admin"]], "administrator"])
def test_a_token_without_a_role_of_ours_is_denied(verifier, roles):
    with pytest.raises(AccessDenied):
        verifier.verify(token(roles=roles))
