"""The token issuer's keys: which are tried, and how they are kept up to date."""

import functools
import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from service.access import key_set
from service.access.tokens import TokenVerifier
from service.errors import IssuerUnavailable, NotAuthenticated, SettingsError
from tests.support.server.tokens import AUDIENCE, EC, ISSUER, KEY_SET, OTHERS, RSA, STRANGERS, public, token


def verifier_of(source):
    return TokenVerifier(str(source), ISSUER, AUDIENCE, "roles")


def publish(folder, *keys):
    """Write the keys to a file in the folder."""
    path = folder / "jwks.json"
    path.write_text(json.dumps({"keys": keys}))
    return path


def without(member, key):
    return {name: value for name, value in key.items() if name != member}


@pytest.mark.parametrize(
    ("published", "kid"),
    [
        ([*(without("kid", public(key, "", "RS256")) for key in (*OTHERS, RSA))], "r1"),
        ([*(without("kid", public(key, "", "RS256")) for key in (*OTHERS, RSA))], None),
        ([*(public(key, "same", "RS256") for key in (*OTHERS, RSA))], "same"),
        ([*(public(key, str(index), "RS256") for index, key in enumerate((*OTHERS, RSA)))], None),
        ([public(EC, "r1", "ES256"), public(RSA, "r1", "RS256")], "r1"),
        ([public(OTHERS[0], "r1", "RS256"), without("kid", public(RSA, "", "RS256"))], "r1"),
        ([without("alg", public(OTHERS[0], "r1", "RS256")), {"kty": "RSA", "n": 7, "e": []}, public(RSA, "r1", "RS256")], "r1"),
    ],
)
def test_every_key_that_may_have_signed_a_token_is_tried(tmp_path, published, kid):
    """An identifier is optional in token and key, and need not be unique (RFC 7515, 4.1.4; RFC 7517, 4.5)."""
    verifier = verifier_of(publish(tmp_path, *published))
    assert verifier.verify(token(kid=kid)).user_id == "dr_who"
    with pytest.raises(NotAuthenticated):
        verifier.verify(token(STRANGERS, kid))
    with pytest.raises(NotAuthenticated, match="expired"):
        verifier.verify(token(kid=kid, exp=1))


def test_a_key_set_with_a_secret_in_it_offers_only_the_rest(tmp_path):
    secret = {"kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "kid": "s1", "alg": "HS256"}
    verifier = verifier_of(publish(tmp_path, secret, *KEY_SET["keys"]))
    assert verifier.verify(token()).user_id == "dr_who"
    with pytest.raises(NotAuthenticated):
        verifier.verify(token(b"\0" * 32, "s1", "HS256"))


@pytest.fixture
def url(tmp_path):
    """Of the key set that is published in tmp_path; 404 while there is none."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/jwks.json"
        server.shutdown()


@pytest.fixture
def clock(monkeypatch):
    """The time in seconds, in a list of one."""
    now = [1000.0]
    monkeypatch.setattr(key_set, "monotonic", lambda: now[0])
    return now


def test_rotated_keys_are_fetched_when_a_token_names_them_and_not_for_every_stranger(url, tmp_path, clock):
    rotated = OTHERS[0]
    path = publish(tmp_path, *KEY_SET["keys"])
    verifier = verifier_of(url)
    assert verifier.verify(token()).user_id == "dr_who"
    publish(tmp_path, public(rotated, "r2", "RS256"))
    for _ in range(5):
        with pytest.raises(NotAuthenticated):
            verifier.verify(token(rotated, "r2"))
    clock[0] += key_set.RETRY_SECONDS
    assert verifier.verify(token(rotated, "r2")).user_id == "dr_who"
    path.unlink()  # away: what is known goes on working, for a day
    clock[0] += key_set.REFRESH_SECONDS
    assert verifier.verify(token(rotated, "r2", sub="other")).user_id == "other"
    # A key that is not known may be one that the issuer publishes by now; one that is known does not become right.
    with pytest.raises(IssuerUnavailable):
        verifier.verify(token(rotated, "r3"))
    with pytest.raises(NotAuthenticated):
        verifier.verify(token(kid="r2"))
    clock[0] += key_set.USABLE_SECONDS
    with pytest.raises(IssuerUnavailable):
        verifier.verify(token(rotated, "r2", sub="third"))


def test_a_key_that_is_changed_under_its_identifier_is_fetched(url, tmp_path, clock):
    publish(tmp_path, *KEY_SET["keys"])
    verifier = verifier_of(url)
    assert verifier.verify(token()).user_id == "dr_who"
    publish(tmp_path, public(OTHERS[0], "r1", "RS256"))
    clock[0] += key_set.RETRY_SECONDS
    assert verifier.verify(token(OTHERS[0], "r1")).user_id == "dr_who"
    with pytest.raises(NotAuthenticated):
        verifier.verify(token(sub="other"))


def test_a_key_set_that_was_never_read_is_our_fault_and_asked_for_again(url, tmp_path, clock):
    verifier = verifier_of(url)
    for _ in range(3):
        with pytest.raises(IssuerUnavailable):
            verifier.verify(token())
        publish(tmp_path, *KEY_SET["keys"])
    clock[0] += key_set.RETRY_SECONDS
    assert verifier.verify(token()).user_id == "dr_who"


def test_a_key_set_that_makes_no_sense_is_as_good_as_none(monkeypatch):
    monkeypatch.setattr(key_set, "_fetch", lambda _: b"<html>")
    with pytest.raises(IssuerUnavailable):
        verifier_of("https://login.hospital.example/jwks").verify(token())


def test_an_issuer_that_hangs_holds_up_nobody_whose_key_is_known(clock, monkeypatch):
    monkeypatch.setattr(key_set, "_fetch", lambda _: json.dumps(KEY_SET).encode())
    verifier = verifier_of("https://login.hospital.example/jwks")
    verifier.verify(token())
    clock[0] += key_set.REFRESH_SECONDS
    asked, answers = threading.Event(), threading.Event()

    def hang(_):
        asked.set()
        answers.wait(60)
        raise TimeoutError

    monkeypatch.setattr(key_set, "_fetch", hang)
    first = threading.Thread(target=verifier.verify, args=[token(sub="first")])
    first.start()
    assert asked.wait(60)
    assert verifier.verify(token(sub="second")).user_id == "second"
    answers.set()
    first.join()


@pytest.mark.parametrize(
    "content", ["", "[" * 100_000, '{"keys": []}', "[1]", '{"keys": 7}', '{"keys": ["x", 7, {"kty": "oct", "k": "AA"}]}']
)
def test_a_file_without_public_keys_is_noticed_at_the_start(tmp_path, content):
    path = tmp_path / "jwks.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match="CXR_JWKS"):
        verifier_of(path)


def test_keys_are_fetched_under_tls_only(tmp_path):
    nowhere = ("https://", "https:///jwks", "https://login.hospital.example:99999/jwks")
    for source in ("http://login.hospital.example/jwks", "ftp://x/y", *nowhere, tmp_path / "absent.json"):
        with pytest.raises(SettingsError, match="CXR_JWKS"):
            verifier_of(source)
