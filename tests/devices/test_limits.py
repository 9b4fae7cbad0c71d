"""A flood from one address beside a real phone; time is a number."""

from devices.limits import BURST_SECONDS, MAX_SOURCES, Limits, source_of

FLOODER, PHONE = "10.0.0.66", "10.0.0.20"


def admitted(limits: Limits, host: str, count: int, now: float = 0.0, pressed: bool = True) -> int:
    return sum(limits.admit(host, now, pressed) for _ in range(count))


def test_an_ipv4_phone_at_an_ipv6_socket_is_a_source_of_its_own():
    assert source_of("::ffff:10.0.0.20") == source_of("10.0.0.20") == "10.0.0.20"
    assert source_of("2001:db8::1:2") == source_of("2001:db8::1:3") == "2001:db8::"


def test_nothing_is_refused_while_everything_can_be_carried():
    assert admitted(Limits(10, 5, 0.0), FLOODER, 10_000, pressed=False) == 10_000


def test_under_pressure_a_source_has_its_burst_and_then_its_rate():
    limits = Limits(1e6, 100, 0.0)
    assert admitted(limits, FLOODER, 10_000) == 100 * BURST_SECONDS
    assert admitted(limits, FLOODER, 10_000, now=2.0) == 200
    assert admitted(limits, FLOODER, 10_000, now=1e6) == 100 * BURST_SECONDS


def test_a_flood_uses_up_its_own_share_only():
    limits = Limits(200, 100, 0.0)
    for second in range(100):
        admitted(limits, FLOODER, 5_000, now=float(second))
        assert admitted(limits, PHONE, 5, now=float(second)) == 5


def test_all_together_have_a_limit():
    limits = Limits(100, 100, 0.0)
    most = sum(admitted(limits, f"10.0.0.{number}", 200) for number in range(50))
    assert most == 100 * BURST_SECONDS


def test_forged_sources_cost_no_memory():
    limits = Limits(1e9, 10, 0.0)
    for number in range(MAX_SOURCES + 500):
        limits.admit(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0, True)
    assert len(limits) == MAX_SOURCES


def test_a_clock_that_stands_still_or_goes_back_gives_nothing():
    limits = Limits(1e6, 10, 100.0)
    admitted(limits, FLOODER, 100, now=100.0)
    assert admitted(limits, FLOODER, 100, now=50.0) == 0
