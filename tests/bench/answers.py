"""How many SUBSCRIBEs a second are answered, stored durably and followed by a NOTIFY, beside peers that only answer.

Peers: a bare responder in C (responder.c: two system calls a datagram, no To tag), and Kamailio with two children and
`sl_send_reply`. The product runs with console, phones' door, listener and task worker on SQLite (WAL, synchronous
FULL); a 200 leaves after the commit. Each repeat measures all of them in turn, in the same two network namespaces.
Closed loop: 512 phones without an answer at a time, every phone another MAC and another address, behind a router.
Owed: assigned phones that start up after a power cut, each of which is owed a NOTIFY and answers it; the rate counts
to the last NOTIFY. New: phones never seen before. Applied: phones that have their file; no NOTIFY follows at once.

What stands between this and the C responder is what the product does and that one does not: to read and check a whole
SIP message and make its answer takes Python some 50 µs, a durable row 25 µs and, for each batch, one fsync and 0.6 ms;
an owed NOTIFY is decided on, given its path and identifiers, encrypted, stored, sent, answered and settled, in five
short transactions of 170 µs together. All of it twice as slow when both cores are busy.
"""

from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from tests.bench import peers
from tests.bench.ground import Ground, Load, Missing, notified_per_second, per_second, prepared
from tests.bench.product import Product
from tests.bench.report import Part, Table, median_of, ratio

WINDOW = 512
PEER_PHONES = 50_000
PHONES = 10_000
STEADY_RATE, STEADY_PHONES = 2_000, 10_000
BURST_PHONES = 500
OWED, APPLIED, NEW, STEADY, BURST = 0, 10_000, 20_000, 30_000, 40_000  # the first phone of each load
LIMIT_SECONDS = 45.0
PEERS: dict[str, Callable[[Ground], AbstractContextManager[None]]] = {
    "bare C": peers.responder,
    "Kamailio": peers.kamailio,
}
NOTIFIED_RATE = "gspnp, owed: answered, stored and notified"
NO_TAG = "bare C"  # its answers are wrong by design
Figures = dict[str, list[float]]


class Tally:
    """Figures of all repeats, by who was measured and what."""

    def __init__(self) -> None:
        self.rates: Figures = defaultdict(list)
        self.steady: dict[str, Figures] = defaultdict(lambda: defaultdict(list))
        self.burst: dict[str, Figures] = defaultdict(lambda: defaultdict(list))
        self.notified: list[float] = []
        self.faults: list[str] = []

    def take_steady(self, who: str, result: dict[str, Any]) -> None:
        for name, value in result.get("answer_ms", {}).items():
            self.steady[who][name].append(value)
        self.steady[who]["unanswered"].append(result["unanswered"])
        self.check(f"{who}, 2,000/s", result)

    def take_burst(self, who: str, result: dict[str, Any]) -> None:
        self.burst[who]["first_try"].append(result["first_try"])
        self.burst[who]["max"].append(result.get("answer_ms", {}).get("max", 0.0))

    def check(self, who: str, result: dict[str, Any]) -> None:
        """What must never happen is told, whoever did it."""
        faults = {} if who.startswith(NO_TAG) else result["faults"]
        wrong = {name: count for name, count in faults.items() if count}
        wrong |= {name: result[name] for name in ("unanswered", "doubled", "strays", "wrong_notifies") if result[name]}
        if result["notify_transactions"] > result["notified"]:
            wrong["phones with a second NOTIFY"] = result["notify_transactions"] - result["notified"]
        if wrong:
            self.faults.append(
                f"{who}: " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in wrong.items())
            )


def _measure_peer(ground: Ground, name: str, tally: Tally) -> None:
    with PEERS[name](ground):
        ground.run(Load(1_000, window=64))  # warm: the neighbour table, the caches
        result = ground.run(Load(PEER_PHONES, window=WINDOW, limit_seconds=LIMIT_SECONDS))
        tally.rates[name].append(per_second(result))
        tally.check(name, result)
        tally.take_steady(name, ground.run(Load(STEADY_PHONES, first=STEADY, rate=STEADY_RATE)))
        tally.take_burst(name, ground.run(Load(BURST_PHONES, first=BURST, window=BURST_PHONES)))


def _measure_product(ground: Ground, repeat: int, tally: Tally) -> None:
    with Product(ground, f"answers-{repeat}") as product:
        product.arrange("owed", PHONES, OWED)
        product.arrange("applied", PHONES, APPLIED)
        product.start()
        ground.run(Load(100, first=BURST + 10_000, window=10))  # warm
        owed = Load(PHONES, OWED, window=WINDOW, notifies=PHONES, quiet_seconds=2, limit_seconds=LIMIT_SECONDS)
        result = _take_rate(ground, "owed", owed, tally)
        tally.rates[NOTIFIED_RATE].append(notified_per_second(result))
        tally.notified.append(result["notified"])
        _take_rate(ground, "new", Load(PHONES, NEW, window=WINDOW, quiet_seconds=1, limit_seconds=LIMIT_SECONDS), tally)
        for name in ("gspnp, new", "gspnp, known"):  # the same phones again
            tally.take_steady(name, ground.run(Load(STEADY_PHONES, STEADY, rate=STEADY_RATE, quiet_seconds=1)))
            tally.take_burst(name, ground.run(Load(BURST_PHONES, BURST, window=BURST_PHONES, quiet_seconds=1)))
        # Last, because a minute later the listener asks these phones why they fetch nothing.
        applied = Load(PHONES, APPLIED, window=WINDOW, quiet_seconds=1, limit_seconds=LIMIT_SECONDS)
        _take_rate(ground, "applied", applied, tally)


def _take_rate(ground: Ground, name: str, load: Load, tally: Tally) -> dict[str, Any]:
    result = ground.run(load)
    tally.rates[f"gspnp, {name}: answered and stored"].append(per_second(result))
    tally.check(f"gspnp, {name}", result)
    return result


def _tables(part: Part, tally: Tally) -> None:
    throughput = Table("SUBSCRIBEs a second, 512 waiting at a time",
                       ["who", "a second: median (least … most)", "of bare C", "of Kamailio"])  # fmt: skip
    for who, rates in tally.rates.items():
        throughput.add(who, median_of(rates), *(ratio(rates, tally.rates.get(peer, [])) for peer in PEERS))
    part.add(throughput)
    if tally.notified and min(tally.notified) < PHONES:
        part.say(
            f"Within {LIMIT_SECONDS:.0f} s {median_of(tally.notified)} of {PHONES:,} owed phones had their NOTIFY."
        )
    steady = Table("Milliseconds to the 200 at 2,000 a second, open loop", ["who", "p50", "p99", "worst", "unanswered"])
    for who, figures in tally.steady.items():
        times = [median_of(figures[name], 2) for name in ("p50", "p99", "max")]
        steady.add(who, *times, median_of(figures["unanswered"]))
    part.add(steady)
    burst = Table("500 phones at once", ["who", "answered at the first try", "worst, ms"])
    for who, figures in tally.burst.items():
        burst.add(who, median_of(figures["first_try"]), median_of(figures["max"], 1))
    part.add(burst)
    for fault in tally.faults:
        part.say(f"Wrong: {fault}")


def main(repeats: int) -> Part:
    part = Part("answers", "SUBSCRIBE to 200 to NOTIFY", __doc__ or "")
    tally = Tally()
    with prepared("answers") as ground:
        for repeat in range(repeats):
            for name in PEERS:
                try:
                    _measure_peer(ground, name, tally)
                except Missing as missing:
                    part.say(f"{name}: {missing}")
            _measure_product(ground, repeat, tally)
    _tables(part, tally)
    return part
