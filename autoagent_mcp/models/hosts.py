"""Entries of `allowed_hosts`, as harbor 0.25 takes them: an exact host, `*.suffix`, an IP address or a strict CIDR."""

from __future__ import annotations

import ipaddress
import re

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def normalize_host(entry: str) -> str:
    """Return the entry in its one spelling: lower case, no trailing dot, addresses compressed.

    Raises:
        ValueError: It is a URL, has a port or a path, or is no host at all.
    """
    host = entry.strip().lower().rstrip(".")
    if "/" in host:
        return _normalize_network(host, entry)
    address = _as_address(host)
    if address is not None:
        return address
    name = host.removeprefix("*.")
    if not all(_LABEL.fullmatch(label) for label in name.split(".")) or (name != host and _as_address(name)):
        raise ValueError(f"allowed_hosts: {entry!r} is no host, no *.suffix, no IP address and no CIDR range")
    return host


def _normalize_network(host: str, entry: str) -> str:
    try:
        return ipaddress.ip_network(host, strict=True).compressed
    except ValueError as error:
        raise ValueError(
            f"allowed_hosts: {entry!r} is no strict CIDR range, and no URL or path may stand here"
        ) from error


def _as_address(host: str) -> str | None:
    try:
        return None if "%" in host else ipaddress.ip_address(host).compressed
    except ValueError:
        return None
