"""Bent messages through the whole pipeline: each accounted for, however the journal was cut; and what they found."""

import sqlite3
from contextlib import closing
from itertools import zip_longest

import pytest

from flows.model.command import Command
from flows.model.frame import Frame, FrameKind
from flows.nodes import decode, device
from flows.store.dump import dump
from tests.fuzz.messages import Fuzz, readings_in
from tests.fuzz.run import run, witnesses

COUNT = 12_000


@pytest.mark.slow
def test_every_bent_message_is_accounted_for_and_batches_change_nothing(tmp_path):
    stores = []
    for batch in (8_000, 777):
        stores.append(tmp_path / str(batch) / "store.sqlite")
        stores[-1].parent.mkdir()
        verdict = run("test", COUNT, stores[-1], batch)
        assert verdict.troubles == []
        fates = ("stored", "duplicate", "dropped", "dead")
        assert verdict.sums["received"] == sum(verdict.sums[fate] for fate in fates) > COUNT * 0.8
        assert all(verdict.sums[fate] for fate in fates), verdict.sums
    assert all(one == other for one, other in zip_longest(*map(dump, stores)))
    fuzz = Fuzz("test", COUNT)
    assert sum(frame.kind is FrameKind.MESSAGE for frame in fuzz.frames()) == COUNT
    assert witnesses(fuzz, stores[0]) == []
    with closing(sqlite3.connect(stores[0])) as db, db:
        db.execute("DELETE FROM raw WHERE key = (SELECT max(key) FROM raw, device WHERE device_id = 'witness'"
                   " AND key >> 43 = device)")  # fmt: skip
        db.execute(
            "UPDATE dead_letter_count SET count = count + 1 WHERE device_id = 'refused' AND reason = 'empty'"
        )
    lost, letters = witnesses(fuzz, stores[0])
    assert lost.startswith("1 of ") and letters.startswith("letters of the witness")


@pytest.mark.parametrize(
    ("topic", "payload", "readings"),
    [
        ("heatpump/a/data", b"[{},{}, 1]", 3),
        ("heatpump/a/data", b" [1", 1),
        ("heatpump/a/data", b"[]", 1),
        ("heatpump/a/data", b"{}", 1),
        ("heatpump/ä/data", b"[1, 2]", 1),
        ("heatpump/a/data/x", b"[1, 2]", 0),
        ("heatpump/a/alerts", b"{}", 0),
    ],
)
def test_readings_are_counted_as_decode_counts_them(topic, payload, readings):
    node = decode.Decode(decode.Params(), None)
    node.on_items([Frame(1, FrameKind.MESSAGE, 1, topic, payload)], {"items": [], "dead": [], "rows": []})
    assert (readings_in(topic, payload), node.counts["received"]) == (readings, readings)


@pytest.mark.parametrize("valid_from", [-1, 1 << 43, 1 << 64, 10**400])
def test_metadata_from_a_time_that_no_state_can_hold_is_refused_and_the_state_can_be_saved(valid_from):
    node = device.Register(device.Params(), None)
    out = {"items": [], "rows": []}
    body = {"device_id": "site1", "valid_from": valid_from}
    node.on_items([Command(1, "c", "me", 1, "device_put", body)], out)
    (outcome,) = out["rows"]
    assert outcome.outcome == "refused" and "valid_from" in outcome.detail
    node.snapshot()


def test_endless_digits_cost_their_field_alone():
    payload = b'{"temperature":{"inlet":1%s,"outlet":30.5},"seq":7}' % (b"0" * 5000)
    node, out = decode.Decode(decode.Params(), None), {"items": [], "dead": [], "rows": []}
    node.on_items([Frame(1, FrameKind.MESSAGE, 1, "heatpump/site1/data", payload)], out)
    (reading,) = out["items"]
    assert (reading.values, reading.number) == ({"temp_outlet": 30.5}, 7)
