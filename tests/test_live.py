"""live: only what is fresh, at most once a second a device; a record of what would be sent stands for the broker."""

import msgspec
import pytest

from flows.build import Piece
from flows.model.cells import cells_of
from flows.model.reading import Reading
from flows.sinks import live as sink
from flows.sinks.live import LivePartition

NOW = 1_770_000_000_000


class Record:
    """A broker's side: what was sent, and whether anybody takes it; and what time it is."""

    def __init__(self) -> None:
        self.sent, self.up, self.now = [], True, NOW

    def publish(self, topic, payload, qos):
        if self.up:
            self.sent.append((topic, msgspec.json.decode(payload)))
        return self.up


@pytest.fixture
def live(monkeypatch):
    record = Record()
    monkeypatch.setattr(sink, "now_ms", lambda: record.now)
    partition = LivePartition(record)

    def send(*readings):
        partition.write_batch([Piece(1, "derive.live", list(readings))])
        return [topic.rpartition("/")[2] for topic, _ in record.sent]

    send.record = record
    return send


def reading(ago_ms=0, number=None, at=None):
    arrived = NOW - ago_ms
    raw = b'{"temperature":{"inlet":30}}'
    return Reading(
        "site1", 1, arrived, cells_of({"temp_inlet": 30.0}), at=at or arrived, number=number, boot_id="b", raw=raw
    )


def test_of_a_batch_the_newest_reading_goes_out_with_its_original(live):
    assert live(reading(at=NOW), reading(at=NOW - 60_000)) == ["reading"]
    body = live.record.sent[0][1]
    assert body["data"] == {"temperature": {"inlet": 30}} and body["temp_inlet"] == 30.0
    assert body["time"].endswith("Z")


def test_of_a_second_one_reading_goes_out_and_the_newest_of_the_others_after_it(live):
    assert live(reading(at=1)) == ["reading"]
    assert live(reading(at=2), reading(at=4), reading(at=3)) == ["reading"]
    live.record.now += 900
    assert live() == ["reading"]
    live.record.now += 100
    assert live() == ["reading", "reading"]
    assert live.record.sent[-1][1]["time"].endswith("00.004Z")


def test_what_arrived_more_than_ten_seconds_ago_is_no_news(live):
    assert live(reading(ago_ms=10_500)) == []


def test_only_a_device_that_numbers_its_readings_is_acknowledged(live):
    assert live(reading()) == ["reading"]
    assert live(reading(number=5)) == ["reading", "ack"]
    assert live.record.sent[-1][1] == {"boot_id": "b", "seq": 5}


def test_a_repeated_reading_is_acknowledged_again_and_is_no_news(live):
    repeated = reading(number=5)
    repeated.at = 0
    assert live(repeated) == ["ack"]


def test_a_reading_that_could_not_be_sent_does_not_use_up_its_second(live):
    live.record.up = False
    assert live(reading()) == []
    live.record.up = True
    assert live(reading()) == ["reading"]
