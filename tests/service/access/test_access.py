import asyncio
import base64
import hmac
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from limits import parse

from service.access import keys, tokens
from service.access.addresses import anonymised, client_address, parse_address
from service.access.keys import KeyStore, KeyVerifier
from service.access.policy import AccessPolicy
from service.access.rate_limit import RateLimiter, _in_words, _when
from service.access.roles import PUBLIC, ROLES_OF, Role, endpoint_of, nearest_endpoint, required_roles
from service.access.tokens import Issuer, TokenVerifier
from service.errors import AccessDenied, IssuerUnavailable, NotAuthenticated, RateLimited, SettingsError
from service.records.database import Database
from service.settings import Settings
from tests.support.databases import REDIS

ISSUER, AUDIENCE = "https://login.hospital.example", "chest-xray"


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'records.db'}")
    database.open(upgrade=True)
    return database


# Roles


@pytest.mark.parametrize("role", Role)
def test_each_role_may_call_what_the_report_says(role):
    allowed = {path for path, roles in ROLES_OF.items() if role in roles}
    assert (
        allowed
        == {
            Role.ADMIN: set(ROLES_OF),
            Role.CLINICIAN: {"/predict", "/predict/batch", "/predict/explain", "/feedback", "/incidents", "/model/info"},
            Role.AUDIT: {"/audit", "/model/info"},
        }[role]
    )


@pytest.mark.parametrize("path", [*sorted(PUBLIC), "/ui/main.js", "/ui/parts/api.js", "/static_content/swagger-ui.css"])
def test_public_paths_need_no_role(path):
    assert required_roles(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "//predict",
        "/predict//",
        "/docs/",
        "/ui/",
        "/ui/main.js/",
        "/ui/../audit",
        "/ui/%2e%2e/audit",
        "/ui/.env",
        "/ui//x",
        "/uix",
        "//",
        "/Health",
        "/health/x",
    ],
)
def test_whatever_is_not_named_needs_a_known_caller(path):
    assert required_roles(path) == frozenset(Role)
    assert endpoint_of(path) == "unknown"


@pytest.mark.parametrize("path", ROLES_OF)
def test_a_slash_at_the_end_opens_no_other_door(path):
    assert required_roles(f"{path}/") == ROLES_OF[path]
    assert endpoint_of(f"{path}/") == path


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("/predict//", "/predict"),
        ("//predict", "/predict"),
        ("/Predict", "/predict"),
        ("/predict/explian", "/predict/explain"),
        ("/docs/", "/docs"),
        ("/ui/", None),
        ("/nowhere", None),
        ("", None),
    ],
)
def test_the_endpoint_that_was_probably_meant_is_found(path, nearest):
    assert nearest_endpoint(path) == nearest


# API keys


def test_a_key_opens_until_it_is_revoked(database, monkeypatch):
    store, now = KeyStore(database), [1000.0]
    monkeypatch.setattr(keys, "monotonic", lambda: now[0])
    text, stored = store.create("dr_who", Role.CLINICIAN)
    verifier = KeyVerifier(store)
    assert verifier.needs_look_up(text)
    caller = verifier.verify(text)
    assert (caller.user_id, caller.role) == ("dr_who", Role.CLINICIAN)
    assert not verifier.needs_look_up(text)
    store.revoke(stored.key_id)
    assert verifier.verify(text) == caller  # for some seconds
    now[0] += keys.CACHE_SECONDS
    with pytest.raises(NotAuthenticated):
        verifier.verify(text)


def test_a_key_ends_by_itself(database):
    text, _ = KeyStore(database).create("dr_who", Role.AUDIT, datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(NotAuthenticated):
        KeyVerifier(KeyStore(database)).verify(text)


def test_no_key_can_be_read_from_the_database(database, tmp_path):
    text, _ = KeyStore(database).create("dr_who", Role.ADMIN)
    database.dispose()
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"dr_who" in stored
    assert text.rpartition("_")[2].encode() not in stored


def test_wrong_keys_are_refused_without_being_repeated(database):
    text, _ = KeyStore(database).create("dr_who", Role.ADMIN)
    verifier = KeyVerifier(KeyStore(database))
    swapped = text[:-1] + ("A" if text[-1] != "A" else "B")
    for wrong in ("", "xyz", text[:-1], swapped, text + "A", f"cxr_{'0' * 16}_{'A' * 43}", text.upper()):
        with pytest.raises(NotAuthenticated) as refused:
            verifier.verify(wrong)
        assert not wrong or wrong not in str(refused.value)


def test_strangers_keys_do_not_fill_the_memory(database, monkeypatch):
    monkeypatch.setattr(keys, "_CACHED_KEYS", 10)
    verifier = KeyVerifier(KeyStore(database))
    for number in range(50):
        with pytest.raises(NotAuthenticated):
            verifier.verify(f"cxr_{number:016x}_{'A' * 43}")
    assert len(verifier._found) == 10


@pytest.mark.parametrize("name", ["", "dr who", "a" * 129, "=cmd", "x\n"])
def test_a_key_is_named_plainly(database, name):
    with pytest.raises(SettingsError):
        KeyStore(database).create(name, Role.ADMIN)


# Bearer tokens

RSA, STRANGERS, *OTHERS = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(4)]
EC = ec.generate_private_key(ec.SECP256R1())


def public(key, kid, algorithm):
    maker = jwt.algorithms.ECAlgorithm if algorithm.startswith("ES") else jwt.algorithms.RSAAlgorithm
    return json.loads(maker.to_jwk(key.public_key())) | {"kid": kid, "use": "sig", "alg": algorithm}


KEY_SET = {"keys": [public(RSA, "r1", "RS256"), public(EC, "e1", "ES256")]}

# Not reckoned from now: tests are collected long before the last of them runs.
IN_2100 = 4_102_444_800


def token(key=RSA, kid="r1", algorithm="RS256", headers=None, **changes):
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "dr_who", "exp": int(time()) + 600, "roles": ["clinician"]} | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm, ({} if kid is None else {"kid": kid}) | (headers or {}))


@pytest.fixture
def key_set(tmp_path):
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(KEY_SET))
    return path


@pytest.fixture
def verifier(key_set):
    return TokenVerifier(Issuer(str(key_set), ISSUER, AUDIENCE, "roles"))


def test_a_good_token_names_its_caller(verifier):
    for good in (token(), token(EC, "e1", "ES256"), token(exp=int(time()) - 10)):  # clocks may differ by so much
        caller = verifier.verify(good)
        assert (caller.user_id, caller.role) == ("dr_who", Role.CLINICIAN)
    assert not verifier.needs_look_up(token())


def test_an_end_beyond_all_numbers_of_the_machine_is_an_end(verifier):
    """RFC 7519, 2: exp is any JSON number; one of over 308 digits is no float."""
    assert verifier.verify(token(exp=10**400)).user_id == "dr_who"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": None},
        {"iss": "https://elsewhere.example"},
        {"iss": None},
        {"aud": "another-service"},
        {"aud": None},
        {"sub": None},
        {"sub": "x" * 257},
        {"sub": "forged\nline"},
        pytest.param({"nbf": IN_2100}, id="not yet valid"),
        pytest.param({"key": STRANGERS}, id="a stranger's key"),
        {"kid": "e1"},
        {"kid": "unknown"},
        {"algorithm": "RS512"},
    ],
    ids=str,
)
def test_a_token_that_is_wrong_in_one_way_is_refused(verifier, changes):
    bad = token(**changes)
    with pytest.raises(NotAuthenticated) as refused:
        verifier.verify(bad)
    assert bad not in str(refused.value)


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
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": published}))
    verifier = TokenVerifier(Issuer(str(path), ISSUER, AUDIENCE, "roles"))
    assert verifier.verify(token(kid=kid)).user_id == "dr_who"
    with pytest.raises(NotAuthenticated):
        verifier.verify(token(STRANGERS, kid))
    with pytest.raises(NotAuthenticated, match="expired"):
        verifier.verify(token(kid=kid, exp=1))


def test_no_more_keys_are_tried_than_an_issuer_has(tmp_path):
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [public(OTHERS[0], "same", "RS256")] * 1000 + [public(RSA, "same", "RS256")]}))
    verifier = TokenVerifier(Issuer(str(path), ISSUER, AUDIENCE, "roles"))
    assert len(verifier._keys.candidates("same")) == tokens.MAX_CANDIDATES
    with pytest.raises(NotAuthenticated):
        verifier.verify(token(kid="same"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exp": 1}, "The token has expired; get a new one."),
        ({"nbf": IN_2100}, "The token is not valid yet; get a new one."),
        ({"aud": "another-service"}, "The token is meant for another service; get a new one."),
        ({"iss": "https://elsewhere.example"}, "The token comes from another issuer; get a new one."),
        ({"sub": None}, "The token lacks one of the claims exp, iss, aud and sub; get a new one."),
        ({"kid": "unknown"}, "The token is not signed with a key that its issuer publishes; get a new token."),
    ],
)
def test_what_is_wrong_with_a_token_is_said_in_words(verifier, changes, words):
    with pytest.raises(NotAuthenticated) as refused:
        verifier.verify(token(**changes))
    assert str(refused.value) == words


def test_a_key_set_with_a_secret_in_it_offers_only_the_rest(tmp_path):
    path = tmp_path / "jwks.json"
    secret = {"kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "kid": "s1", "alg": "HS256"}
    path.write_text(json.dumps({"keys": [secret, *KEY_SET["keys"]]}))
    verifier = TokenVerifier(Issuer(str(path), ISSUER, AUDIENCE, "roles"))
    assert verifier.verify(token()).user_id == "dr_who"
    with pytest.raises(NotAuthenticated):
        verifier.verify(token(b"\0" * 32, "s1", "HS256"))


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
    verifier = TokenVerifier(Issuer(str(key_set), ISSUER, AUDIENCE, claim))
    assert verifier.verify(token(**claims)).role == role


@pytest.mark.parametrize("roles", [None, [], "", ["guest"], 7, {"admin": True}, [["admin"]], "administrator"])
def test_a_token_without_a_role_of_ours_is_denied(verifier, roles):
    with pytest.raises(AccessDenied):
        verifier.verify(token(roles=roles))


@pytest.fixture
def issuer_server():
    """An issuer's key set over HTTP; `published` is what it answers, None an error, `asked` how often it was asked."""

    class Handler(BaseHTTPRequestHandler):
        published = KEY_SET
        asked = 0

        def do_GET(self):
            type(self).asked += 1
            self.send_response(200 if self.published else 500)
            self.end_headers()
            if self.published:
                self.wfile.write(json.dumps(self.published).encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Handler, f"http://127.0.0.1:{server.server_port}/jwks"
    server.shutdown()


def test_rotated_keys_are_fetched_when_a_token_names_them_and_not_for_every_stranger(issuer_server, monkeypatch):
    published, url = issuer_server
    now = [1000.0]
    monkeypatch.setattr(tokens, "monotonic", lambda: now[0])
    verifier = TokenVerifier(Issuer(url, ISSUER, AUDIENCE, "roles"))
    assert verifier.verify(token()).user_id == "dr_who"
    rotated = OTHERS[0]
    published.published = {"keys": [public(rotated, "r2", "RS256")]}
    for _ in range(5):
        with pytest.raises(NotAuthenticated):
            verifier.verify(token(rotated, "r2"))
    assert published.asked == 1
    now[0] += tokens.RETRY_SECONDS
    assert verifier.verify(token(rotated, "r2")).user_id == "dr_who"
    assert published.asked == 2
    published.published = None  # away: what is known goes on working, for a day
    now[0] += tokens.REFRESH_SECONDS
    assert verifier.verify(token(rotated, "r2", sub="other")).user_id == "other"
    # A key that is not known may be one that the issuer publishes by now; one that is known does not become right.
    with pytest.raises(IssuerUnavailable):
        verifier.verify(token(rotated, "r3"))
    with pytest.raises(NotAuthenticated):
        verifier.verify(token(kid="r2"))
    now[0] += tokens.USABLE_SECONDS
    with pytest.raises(IssuerUnavailable):
        verifier.verify(token(rotated, "r2", sub="third"))


def test_a_key_that_is_changed_under_its_identifier_is_fetched(issuer_server, monkeypatch):
    published, url = issuer_server
    now = [1000.0]
    monkeypatch.setattr(tokens, "monotonic", lambda: now[0])
    verifier = TokenVerifier(Issuer(url, ISSUER, AUDIENCE, "roles"))
    assert verifier.verify(token()).user_id == "dr_who"
    rotated = OTHERS[0]
    published.published = {"keys": [public(rotated, "r1", "RS256")]}
    now[0] += tokens.RETRY_SECONDS
    assert verifier.verify(token(rotated, "r1")).user_id == "dr_who"
    with pytest.raises(NotAuthenticated):
        verifier.verify(token(sub="other"))


def test_a_key_set_that_was_never_read_is_our_fault_and_soon_asked_for_again(issuer_server, monkeypatch):
    published, url = issuer_server
    now = [1000.0]
    monkeypatch.setattr(tokens, "monotonic", lambda: now[0])
    keys_then, published.published = published.published, None
    verifier = TokenVerifier(Issuer(url, ISSUER, AUDIENCE, "roles"))
    for _ in range(3):
        with pytest.raises(IssuerUnavailable):
            verifier.verify(token())
    assert published.asked == 1
    published.published = keys_then
    now[0] += tokens.FIRST_RETRY_SECONDS
    assert verifier.verify(token()).user_id == "dr_who"


@pytest.mark.parametrize("content", ["<html>", "[" * 100_000, '{"keys": []}'])
def test_a_key_set_that_makes_no_sense_is_as_good_as_none(monkeypatch, content):
    monkeypatch.setattr(tokens, "_fetch", lambda _: content.encode())
    with pytest.raises(IssuerUnavailable):
        TokenVerifier(Issuer("https://login.hospital.example/jwks", ISSUER, AUDIENCE, "roles")).verify(token())


def test_an_issuer_that_hangs_holds_up_nobody_whose_key_is_known(issuer_server, monkeypatch):
    _, url = issuer_server
    now = [1000.0]
    monkeypatch.setattr(tokens, "monotonic", lambda: now[0])
    verifier = TokenVerifier(Issuer(url, ISSUER, AUDIENCE, "roles"))
    verifier.verify(token())
    now[0] += tokens.REFRESH_SECONDS
    asked, answers = threading.Event(), threading.Event()

    def hang(_):
        asked.set()
        answers.wait(60)
        raise TimeoutError

    monkeypatch.setattr(tokens, "_fetch", hang)
    first = threading.Thread(target=verifier.verify, args=[token(sub="first")])
    first.start()
    assert asked.wait(60)
    assert verifier.verify(token(sub="second")).user_id == "second"
    answers.set()
    first.join()


@pytest.mark.parametrize(
    "content", ["", "{}", '{"keys": []}', "[1]", '{"keys": 7}', '{"keys": ["x", 7]}', '{"keys": [{"kty": "oct", "k": "AA"}]}']
)
def test_a_file_without_public_keys_is_noticed_at_the_start(tmp_path, content):
    path = tmp_path / "jwks.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match="CXR_JWKS"):
        TokenVerifier(Issuer(str(path), ISSUER, AUDIENCE, "roles"))


def test_keys_are_fetched_under_tls_only(tmp_path):
    nowhere = ("https://", "https:///jwks", "https://login.hospital.example:99999/jwks")
    for source in ("http://login.hospital.example/jwks", "ftp://x/y", *nowhere, str(tmp_path / "absent.json")):
        with pytest.raises(SettingsError, match="CXR_JWKS"):
            TokenVerifier(Issuer(source, ISSUER, AUDIENCE, "roles"))


# Addresses


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", None, "203.0.113.9"),
        ("203.0.113.9", "1.2.3.4", "203.0.113.9"),  # says a stranger
        ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"),  # 6.6.6.6 is what the client claimed
        ("10.0.0.1", "10.0.0.3", "10.0.0.3"),
        ("10.0.0.1", "nonsense", None),
        ("::ffff:10.0.0.1", "[2001:db8::7]:443", "2001:db8::7"),
        ("10.0.0.1", "1.2.3.4:5555", "1.2.3.4"),
        (None, "1.2.3.4", None),
    ],
)
def test_the_client_is_the_last_address_that_no_trusted_proxy_has(peer, forwarded, client):
    proxies = Settings(trusted_proxies="10.0.0.0/8").trusted_proxies
    assert client_address(peer, forwarded, proxies) == parse_address(client)


@pytest.mark.parametrize(
    ("address", "shown"),
    [("192.168.1.77", "192.168.1.x"), ("2001:db8:1:2::7", "2001:0db8:0001:x"), ("::ffff:192.168.1.77", "192.168.1.x")],
)
def test_addresses_are_shown_without_their_end(address, shown):
    assert anonymised(parse_address(address)) == shown


@given(st.text(max_size=200))
def test_no_text_breaks_the_reading_of_addresses(text):
    parse_address(text)
    client_address("10.0.0.1", text, Settings(trusted_proxies="10.0.0.0/8").trusted_proxies)


@given(st.ip_addresses())
def test_every_address_is_read_and_its_host_not_shown(address):
    found = parse_address(str(address))
    assert found is not None
    assert str(found) != anonymised(found)


# Rates

STORAGES = ["memory://", pytest.param(REDIS, marks=pytest.mark.skipif(not REDIS, reason="CXR_TEST_REDIS_URL is not set"))]


@pytest.mark.parametrize("storage", STORAGES)
def test_one_request_too_many_is_told_when_to_come_back(storage):
    identity = f"test:{time()}"

    async def scenario():
        limiter = RateLimiter("3/minute", storage)
        for _ in range(3):
            await limiter.hit(identity)
        with pytest.raises(
            RateLimited, match=r"^You have sent more than 3 requests in a minute; the next one is answered in "
        ) as refused:
            await limiter.hit(identity)
        assert 1 <= refused.value.retry_after_seconds <= 60
        await limiter.hit(identity + "another")
        if storage != "memory://":  # another process
            with pytest.raises(RateLimited):
                await RateLimiter("3/minute", storage).hit(identity)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        ("100/minute", "100 requests in a minute"),
        ("1/hour", "1 request in an hour"),
        ("20 per 15 minutes", "20 requests in 15 minutes"),
        ("5/second", "5 requests in a second"),
    ],
)
def test_a_rate_is_told_in_words(rate, words):
    assert _in_words(parse(rate)) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(1, "in 1 second."), (119, "in 119 seconds."), (121, "in 3 minutes."), (7200, "in 120 minutes.")]
)
def test_the_time_of_the_next_request_is_told_in_words(seconds, words):
    assert _when(seconds).endswith(words)


def test_while_redis_is_away_each_process_counts_alone(caplog):
    async def scenario():
        limiter = RateLimiter("2/minute", "redis://user:hush@127.0.0.1:1/0")
        await limiter.hit("a")
        await limiter.hit("a")
        with pytest.raises(RateLimited):
            await limiter.hit("a")

    asyncio.run(scenario())
    assert caplog.text.count("Redis is away") == 1
    assert "hush" not in caplog.text


@pytest.mark.parametrize(
    ("rate", "storage"),
    [
        ("many", "memory://"),
        ("1/fortnight", "memory://"),
        ("0/minute", "memory://"),  # told everybody that the next request is answered in a second
        ("1/second; 100/hour", "memory://"),  # the second one never counted
        ("1/minute", "redis-ish://h"),
        ("1/minute", "x"),
    ],
)
def test_a_rate_or_storage_that_cannot_be_is_named(rate, storage):
    with pytest.raises(SettingsError, match="CXR_RATE_LIMIT"):
        RateLimiter(rate, storage)


# The door


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
    return AccessPolicy.from_settings(settings, database), {role: store.create(f"{role}_1", role)[0] for role in Role}


def test_every_role_meets_every_route_as_the_table_says(database, guarded):
    policy, by_role = guarded
    policy._limiter = RateLimiter("1000/minute")
    for path, roles in ROLES_OF.items():
        for role in Role:
            admission = admit(policy, path, x_api_key=by_role[role])
            assert admission.caller.role == role  # known to the audit row, refused or not
            assert (admission.refusal is None) == (role in roles)
            assert admission.refusal is None or isinstance(admission.refusal, AccessDenied)
        assert isinstance(admit(policy, path).refusal, NotAuthenticated)


def test_keys_and_tokens_come_in_either_header(guarded):
    policy, by_role = guarded
    for headers in ({"x_api_key": by_role[Role.CLINICIAN]}, {"authorization": f"Bearer {by_role[Role.CLINICIAN]}"}):
        assert admit(policy, **headers).caller.user_id == "clinician_1"
    assert admit(policy, authorization=f"bearer {token()}").caller.user_id == "dr_who"
    both = admit(policy, x_api_key=by_role[Role.ADMIN], authorization=f"Bearer {token()}")
    assert isinstance(both.refusal, NotAuthenticated)
    assert isinstance(admit(policy, authorization="Basic abc").refusal, NotAuthenticated)


def test_blanks_around_a_credential_are_no_part_of_it(guarded):
    """RFC 9110, 5.5; servers cut them off in front only. The scheme's case means nothing (11.1)."""
    policy, by_role = guarded
    policy._limiter = RateLimiter("1000/minute")
    key = by_role[Role.CLINICIAN]
    for sent in (f" {key}", f"{key} ", f"\t{key} \t"):
        assert admit(policy, x_api_key=sent).caller.user_id == "clinician_1"
    for scheme in ("Bearer", "bearer", "BEARER", " Bearer", "Bearer  "):
        for credential, user in ((key, "clinician_1"), (token(), "dr_who")):
            assert admit(policy, authorization=f"{scheme} {credential} ").caller.user_id == user
    # An empty field beside the other is no second credential.
    assert admit(policy, x_api_key=" ", authorization=f"Bearer {token()}").caller.user_id == "dr_who"


@pytest.mark.parametrize(
    ("auth", "words"),
    [
        ("keys", "API key missing: enter a key on the web page, or send it in the X-API-Key header."),
        ("tokens", "Access token missing: send a token in the Authorization header, after the word Bearer."),
        ("keys_and_tokens", "API key missing: enter a key on the web page, or send it in the X-API-Key header, or send a"),
    ],
)
def test_who_says_nothing_is_told_what_to_do_at_the_page_and_in_a_program(database, key_set, auth, words):
    settings = Settings(auth=auth, jwks=str(key_set), token_issuer=ISSUER, token_audience=AUDIENCE)
    refusal = admit(AccessPolicy.from_settings(settings, database)).refusal
    assert isinstance(refusal, NotAuthenticated)
    assert str(refusal).startswith(words)


@pytest.mark.parametrize("path", ["/audit/", "/model/reload/", "/predict/"])
def test_a_slash_at_the_end_meets_the_same_roles_and_the_same_rate(guarded, path):
    policy, by_role = guarded
    wrong = by_role[Role.CLINICIAN] if path != "/predict/" else by_role[Role.AUDIT]
    refusals = [type(admit(policy, path, x_api_key=wrong).refusal) for _ in range(6)]
    assert refusals == [AccessDenied] * 5 + [RateLimited]
    assert isinstance(admit(policy, path).refusal, NotAuthenticated)


def test_a_credential_of_a_kind_that_is_off_is_refused(database):
    policy = AccessPolicy.from_settings(Settings(auth="keys"), database)
    refusal = admit(policy, authorization=f"Bearer {token()}").refusal
    assert isinstance(refusal, NotAuthenticated)
    assert str(refusal).startswith("Access tokens are not accepted here: enter a key on the web page")


def test_the_rate_is_counted_for_each_key_and_for_each_address_of_strangers(guarded):
    policy, by_role = guarded
    outcomes = [admit(policy, x_api_key=by_role[Role.CLINICIAN]).refusal for _ in range(6)]
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 5 + [RateLimited]
    assert admit(policy, x_api_key=by_role[Role.ADMIN]).refusal is None
    strangers = [type(admit(policy, peer="10.9.9.9").refusal) for _ in range(6)]
    assert strangers == [NotAuthenticated] * 5 + [RateLimited]
    assert isinstance(admit(policy, peer="10.9.9.8").refusal, NotAuthenticated)


def test_strangers_who_are_refused_too_often_leave_no_more_rows(guarded):
    policy, by_role = guarded
    assert [admit(policy, peer="10.9.9.9").is_recorded for _ in range(8)] == [True] * 5 + [False] * 3
    assert [admit(policy, x_api_key=by_role[Role.ADMIN]).is_recorded for _ in range(8)] == [True] * 8  # known callers always do
    # All addresses that one host of IPv6 may have count as one.
    assert [admit(policy, peer=f"2001:db8::{number}").is_recorded for number in range(8)] == [True] * 5 + [False] * 3


def test_addresses_off_the_list_that_come_too_often_leave_no_more_rows(database):
    policy = AccessPolicy.from_settings(Settings(allowed_networks="10.0.0.0/8", rate_limit="5/minute"), database)
    outcomes = [admit(policy, peer="203.0.113.1") for _ in range(7)]
    assert [outcome.is_recorded for outcome in outcomes] == [True] * 5 + [False] * 2
    assert [type(outcome.refusal) for outcome in outcomes] == [AccessDenied] * 5 + [RateLimited] * 2


def test_addresses_off_the_list_are_refused_but_for_probes(database):
    policy = AccessPolicy.from_settings(Settings(allowed_networks="10.0.0.0/8,2001:db8::/32"), database)
    assert admit(policy).refusal is None
    assert admit(policy, peer="2001:db8::1").refusal is None
    for path in ("/predict", "/", "/metrics", "/nowhere"):
        assert isinstance(admit(policy, path, peer="203.0.113.1").refusal, AccessDenied)
        assert isinstance(admit(policy, path, peer=None).refusal, AccessDenied)
        assert isinstance(admit(policy, path, peer="203.0.113.1", forwarded_for="10.0.0.1").refusal, AccessDenied)
    for path in ("/readyz", "/readyz/"):
        assert admit(policy, path, peer="203.0.113.1").refusal is None


def test_without_access_control_everybody_comes_in(database):
    policy = AccessPolicy.from_settings(Settings(), database)
    assert policy.is_open
    assert [admit(policy).refusal for _ in range(300)] == [None] * 300
