"""Answers of the pipeline's routes, for the components' tests: two steps on a calm day; names are data."""

from typing import Any

from flows.model.times import iso

NOW = 1_770_728_887_000
"""Tue 10 Feb 2026, 13:08:07 UTC."""


def a_node(step: str, up: str = "journal", **given: Any) -> dict[str, Any]:
    """A step that took a thousand items and passed them on."""
    return {
        "step": step,
        "node": step,
        "up": up,
        "sinks": {"dead": ["store"], "rows": ["store", "live"]},
        "in": 1_000,
        "out": {"ok": 1_000, "rows": 40, "dead": 0},
        "rate": 29.8,
        "p99_ms": 0.21,
        "state": {},
        "counts": {},
        "dead": {},
        "removed": {},
        **given,
    }


def an_answer(nodes: list[dict[str, Any]] | None = None, **given: Any) -> dict[str, Any]:
    """GET /api/pipeline, with parts replaced or, where they are dicts, completed."""
    answer: dict[str, Any] = {
        "at": NOW,
        "since": iso(NOW - 3_600_000),
        "graph": "own.toml",
        "devices": {"known": 3, "online": 2},
        "journal": {
            "connected": True,
            "problem": "",
            "full": False,
            "messages": 1_000,
            "unacknowledged": 0,
            "last_seq": 4_711,
            "bytes": 11_900_000_000,
            "room_bytes": 41_200_000_000,
            "room_s": 24 * 86_400,
            "written_per_s": 19_700.0,
            "kept_s": 6 * 86_400,
            "kept_at_most_s": 7 * 86_400,
            "sync_ms_p99": 6.8,
        },
        "backlog": 0,
        "unread": 0,
        "behind_ms": 0,
        "nodes": nodes or [a_node("read in"), a_node("judge", "read in.ok")],
        "read_seq": 4_711,
        "store": {
            "kind": "sqlite",
            "done": 1_040,
            "p99_ms": 8.6,
            "stored": 990,
            "unchanged": 2,
            "refused": 0,
            "open": 0,
            "fence_behind": 12,
            "waiting": "",
            "waiting_since": None,
            "attempts": 0,
            "next_try": None,
        },
        "live": {"done": 900, "rate": 28.9, "clients": 6},
        "dead_letters": {"newest": iso(NOW - 1_560_000)},
        "conservation": {
            "received": 1_000,
            "stored": 990,
            "duplicate": 2,
            "dead": 5,
            "dropped": 3,
            "in_flight": 0,
            "unexplained": 0,
        },
        "astray": "",
        "received_10s": [298] * 6,
        "windows": {
            "60s": {
                "seconds": 60,
                "received": 298,
                "stored": 300,
                "duplicate": 0,
                "dead": 0,
                "dropped": 0,
                "in_flight": -2,
                "unexplained": 0,
            }
        },
    }
    for name, part in given.items():
        answer[name] = {**answer[name], **part} if isinstance(part, dict) else part
    return answer


def an_item(**given: Any) -> dict[str, Any]:
    """A reading that a node passed on as it came."""
    return {
        "step": "judge",
        "arrived": "2026-02-10T13:08:06.912Z",
        "device_id": "site41",
        "kind": "reading",
        "port": "ok",
        "fields_before": 14,
        "fields_after": 14,
        "removed": [],
        "added": [],
        "changed": [],
        "text": "",
        "bytes": None,
        "made": 1,
        "sides": [],
        **given,
    }


def a_detail(items: list[dict[str, Any]] | None = None, **given: Any) -> dict[str, Any]:
    """GET /api/pipeline/nodes/{step}."""
    return {
        "step": "judge",
        "node": "judge",
        "summary": "keep what can be.",
        "text": "",
        "in": "Reading",
        "out": [{"port": "ok", "text": "Reading"}, {"port": "dead", "text": 'DeadLetter "empty"'}],
        "state": "none",
        "parameters": {
            "file": "own.toml",
            "lines": [{"number": 8, "text": "[step.judge]"}, {"number": 9, "text": 'node = "judge"'}],
            "in_force": {"spans": {"power": [0, 6]}},
        },
        "items": items or [],
        **given,
    }


def a_trace(**given: Any) -> dict[str, Any]:
    """GET /api/pipeline/trace/{device_id} of a reading that is stored."""
    return {
        "device_id": "site41",
        "seq": 4_711,
        "arrived": "2026-02-10T13:08:06.912Z",
        "bytes": 412,
        "qos": 1,
        "retained": False,
        "synced_ms": 2.1,
        "steps": [{**an_item(), "ms": 2.6}],
        "ended": "",
        "waits_in": "",
        "live_ms": 4.1,
        "stored_ms": 9.8,
        "rows": ["RawRow"],
        **given,
    }


def a_letter(letter_id: int, **given: Any) -> dict[str, Any]:
    """One line of GET /api/dead-letters."""
    return {
        "id": letter_id,
        "device_id": "site17",
        "topic": "heatpump/site17/data",
        "arrived": "2026-02-10T12:41:20.000Z",
        "reason": "empty",
        "detail": "no field is left",
        "attempts": 0,
        "last_reason": "",
        **given,
    }
