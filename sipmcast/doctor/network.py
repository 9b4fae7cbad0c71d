"""Judges what may swallow multicast on its way: switches without a querier, reverse path filter, firewall. Pure.

Nothing of it can be known for sure from here, so the words say "may".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sipmcast.doctor.facts import Adapter, Firewall, Machine, Setup, text
from sipmcast.doctor.finding import Finding, ok, unknown, warning

NEWEST_IGMP = 3
STRICT = 1  # Documentation/networking/ip-sysctl of the kernel: rp_filter
_VERDICT = re.compile(r"\b(drop|reject)\b", re.IGNORECASE)
_CLOSED_INPUT = re.compile(r":INPUT DROP.*|-A INPUT -j (?:DROP|REJECT.*)")  # iptables-save(8)
_OPEN_CHAIN_END = re.compile(r"(?:counter(?: packets \d+ bytes \d+)? )?(?:drop|reject\b.*)", re.IGNORECASE)


def judge_igmp(machine: Machine, setup: Setup) -> list[Finding]:
    """Does anybody in the network ask who wants the group? Without that a snooping switch stops delivering it."""
    findings = [_mute_bridge(adapter) for adapter in machine.wired if adapter.mute_snooping]
    doubtful = []
    for adapter in machine.wired:
        known = (machine.memberships or {}).get(adapter.name)
        if known is None or setup.group not in known.groups:
            continue
        if known.version < NEWEST_IGMP and not adapter.forced_igmp:
            words = f"An IGMP version {known.version} querier has been heard: somebody keeps switches informed."
            findings.append(ok(f"IGMP on {adapter.name}", words))
        else:
            doubtful.append(adapter.name)
    if doubtful:
        findings.append(unknown(
            f"IGMP on {', '.join(doubtful)}",
            "Whether a querier is in this network cannot be seen from here. Without one a switch with IGMP snooping "
            "may stop delivering phones' SUBSCRIBEs after some minutes.",
            "If phones are seen right after the listener starts and later not: switch on the IGMP querier in the "
            "switch or router, or switch snooping off for this VLAN.",
        ))  # fmt: skip
    return findings


def _mute_bridge(adapter: Adapter) -> Finding:
    return warning(
        f"Bridge {adapter.name}",
        "This machine's own bridge filters multicast (snooping is on) and asks nobody who wants it (no querier): it "
        "may swallow SUBSCRIBEs between its ports.",
        "Switch its querier on:",
        f"echo 1 | sudo tee /sys/class/net/{adapter.name}/bridge/multicast_querier",
    )


def judge_reverse_path(machine: Machine) -> list[Finding]:
    """Does the kernel drop packets whose source it would not answer over the same interface (RFC 3704)?"""
    strict = [one.name for one in machine.wired if one.rp_filter == STRICT and one.name != machine.default_interface]
    title = "Reverse path filter"
    if not strict:
        return [ok(title, "It takes nothing away from phones here.")] if machine.wired else []
    return [warning(
        title,
        f"It is strict on {', '.join(strict)}: a phone whose address is not in that interface's own network is dropped "
        "without a word, for example one that still has an address of another VLAN.",
        "Make it loose:",
        " && ".join(f"sudo sysctl net.ipv4.conf.{name}.rp_filter=2" for name in strict),
    )]  # fmt: skip


def judge_firewall(firewall: Firewall, setup: Setup) -> list[Finding]:
    """May the firewall of this machine take phones' packets away?"""
    title = "Firewall"
    if not firewall.tool:
        return [unknown(title, firewall.why_not, "Look yourself:", "sudo nft list ruleset || sudo iptables-save")]
    remedy = (
        f"Let UDP to {setup.group} port {setup.port} in, and TCP port {setup.phones_port} for the files. For example, "
        "with the names of your own table and chain:"
    )
    command = (
        f"sudo nft insert rule inet filter input ip daddr {setup.group} udp dport {setup.port} accept"
        if firewall.tool == "nft"
        else f"sudo iptables -I INPUT -d {setup.group} -p udp --dport {setup.port} -j ACCEPT"
    )
    lines = [line.strip() for line in firewall.rules.splitlines()]
    named = [line for line in lines if _mentions(line, setup)]
    refusing = next((line for line in named if _VERDICT.search(line)), "")
    if refusing:
        words = f"A rule may drop what phones send: “{text(refusing)}”"
        return [warning(title, words, remedy, command)]
    if any(_closed_inputs(lines)) and not any("accept" in line.lower() for line in named):
        words = f"{firewall.tool} closes this machine's input, and no rule names port {setup.port} or {setup.group}: "
        return [warning(title, f"{words}it may drop what phones send.", remedy, command)]
    return [ok(title, f"Nothing in {firewall.tool}'s rules looks as if it took phones' packets away.")]


def _mentions(line: str, setup: Setup) -> bool:
    """Does this rule speak of our group or port? A port that only begins alike is another one."""
    words = re.split(r"[^0-9.]+", line)
    return setup.group in words or str(setup.port) in words


def _closed_inputs(lines: list[str]) -> Iterator[str]:
    """Lines that close a chain of the input hook: its policy, or a last rule without a condition."""
    in_input = False
    for line in lines:
        if line.startswith("chain "):
            in_input = "input" in line.lower()
        if "hook input" in line:
            in_input = True
            if "policy drop" in line:
                yield line
        elif _CLOSED_INPUT.fullmatch(line) or (in_input and _OPEN_CHAIN_END.fullmatch(line)):
            yield line
