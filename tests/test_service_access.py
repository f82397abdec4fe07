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

from service.access import keys, tokens
from service.access.addresses import anonymised, client_address, parse_address
from service.access.door import AccessPolicy
from service.access.keys import KeyStore, KeyVerifier
from service.access.rate_limit import RateLimiter
from service.access.roles import PUBLIC, ROLES_OF, Role, endpoint_of, required_roles
from service.access.tokens import Issuer, TokenVerifier
from service.contract.errors import AccessDenied, ConfigError, NotAuthenticated, RateLimited
from service.settings import Settings
from service.store.database import Database
from tests.databases import REDIS

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


@pytest.mark.parametrize("path", [*PUBLIC, "/ui/main.js", "/ui/parts/api.js", "/static_content/swagger-ui.css"])
def test_public_paths_need_no_role(path):
    assert required_roles(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/schema.json",
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


def test_a_trailing_slash_opens_no_other_door():
    assert required_roles("/audit/") == ROLES_OF["/audit"]
    assert endpoint_of("/predict/") == "/predict"


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
    with pytest.raises(ConfigError):
        KeyStore(database).create(name, Role.ADMIN)


# Bearer tokens

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def public(key, kid, algorithm):
    maker = jwt.algorithms.ECAlgorithm if algorithm.startswith("ES") else jwt.algorithms.RSAAlgorithm
    return json.loads(maker.to_jwk(key.public_key())) | {"kid": kid, "use": "sig", "alg": algorithm}


KEY_SET = {"keys": [public(RSA, "r1", "RS256"), public(EC, "e1", "ES256")]}


def token(key=RSA, kid="r1", algorithm="RS256", headers=None, **changes):
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "dr_who", "exp": int(time()) + 600, "roles": ["clinician"]} | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm, {"kid": kid} | (headers or {}))


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
        {"nbf": int(time()) + 600},
        {"key": rsa.generate_private_key(public_exponent=65537, key_size=2048)},
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
    rotated = rsa.generate_private_key(public_exponent=65537, key_size=2048)
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
    now[0] += tokens.USABLE_SECONDS
    with pytest.raises(NotAuthenticated):
        verifier.verify(token(rotated, "r2", sub="third"))


@pytest.mark.parametrize(
    "content", ["", "{}", '{"keys": []}', "[1]", '{"keys": 7}', '{"keys": ["x", 7]}', '{"keys": [{"kty": "oct", "k": "AA"}]}']
)
def test_a_file_without_public_keys_is_noticed_at_the_start(tmp_path, content):
    path = tmp_path / "jwks.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match="CXR_JWKS"):
        TokenVerifier(Issuer(str(path), ISSUER, AUDIENCE, "roles"))


def test_keys_are_fetched_under_tls_only(tmp_path):
    for source in ("http://login.hospital.example/jwks", "ftp://x/y", str(tmp_path / "absent.json")):
        with pytest.raises(ConfigError, match="CXR_JWKS"):
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
        with pytest.raises(RateLimited) as refused:
            await limiter.hit(identity)
        assert 1 <= refused.value.retry_after_seconds <= 60
        await limiter.hit(identity + "another")
        if storage != "memory://":  # another process
            with pytest.raises(RateLimited):
                await RateLimiter("3/minute", storage).hit(identity)

    asyncio.run(scenario())


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
    [("many", "memory://"), ("1/fortnight", "memory://"), ("1/minute", "redis-ish://h"), ("1/minute", "x")],
)
def test_a_rate_or_storage_that_cannot_be_is_named(rate, storage):
    with pytest.raises(ConfigError, match="CXR_RATE_LIMIT"):
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


def test_a_credential_of_a_kind_that_is_off_is_refused(database):
    policy = AccessPolicy.from_settings(Settings(auth="keys"), database)
    refusal = admit(policy, authorization=f"Bearer {token()}").refusal
    assert isinstance(refusal, NotAuthenticated)
    assert "X-API-Key" in str(refusal)


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
    assert admit(policy, "/readyz", peer="203.0.113.1").refusal is None


def test_without_access_control_everybody_comes_in(database):
    policy = AccessPolicy.from_settings(Settings(), database)
    assert policy.is_open
    assert [admit(policy).refusal for _ in range(300)] == [None] * 300
