import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.addresses import anonymised, client_address, parse_address
from service.settings import Settings


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
