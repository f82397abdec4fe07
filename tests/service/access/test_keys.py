from datetime import UTC, datetime, timedelta

import pytest

from service.access import keys
from service.access.keys import KeyStore, KeyVerifier
from service.access.roles import Role
from service.errors import NotAuthenticated, SettingsError


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
