"""The newest readings that the writer knows by heart, against a list of them: packed or plain, cut or whole."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flows.model.rows import RawRow
from flows.physics.episodes import NEEDED
from flows.store.influx import samples
from flows.store.influx.samples import Samples

NOW = 1_770_000_000_000
DEVICES = ("a", "b", "c")
BOUNDS = ("MOST_BYTES", "PLAIN_BYTES", "MOST_ROWS", "FEWEST_ROWS", "PACKED_AT_ONCE")

values = st.fixed_dictionaries(
    {}, optional={"temp_inlet": st.floats(-40, 90), "power": st.sampled_from([0.0, -0.0, 1900.25])}
)
batches = st.lists(
    st.lists(st.tuples(st.sampled_from(DEVICES), st.integers(1, 30_000), values), min_size=1, max_size=12),
    max_size=25,
)


@st.composite
def bounds(draw) -> tuple[int, ...]:
    packed = draw(st.integers(1, 7))
    fewest = packed + draw(st.integers(0, 3))
    return (
        draw(st.integers(500, 9_000)),
        draw(st.integers(0, 6_000)),
        fewest + draw(st.integers(0, 30)),
        fewest,
        packed,
    )


@given(batches, bounds(), st.data())
def test_what_is_known_by_heart_is_what_was_written_however_it_is_kept(written, most, data):
    with_bounds = dict(zip(BOUNDS, most, strict=True))
    before = {name: getattr(samples, name) for name in BOUNDS}
    try:
        for name, bound in with_bounds.items():
            setattr(samples, name, bound)
        known, there, at = Samples({"c": NOW + 50_000}), dict[str, list[RawRow]](), dict.fromkeys(DEVICES, NOW)
        at["c"] = NOW + 50_000
        for batch in written:
            rows = []
            for device_id, step, sent in batch:
                at[device_id] += step
                rows.append(
                    RawRow.of(device_id, at[device_id], 1, at[device_id], "device", sent or {"voltage": 1.0})
                )
                there.setdefault(device_id, []).append(rows[-1])
            known.add(rows)
            if data.draw(st.integers(0, 9)) == 0:
                known.drop(data.draw(st.sampled_from(DEVICES)))
            for device_id in DEVICES:
                asked = data.draw(st.integers(NOW - 1, at[device_id] + 1))
                holds(known, there.get(device_id, []), device_id, asked)
                holds(known, there.get(device_id, []), device_id, at[device_id])
    finally:
        for name, bound in before.items():
            setattr(samples, name, bound)


def holds(known: Samples, rows: list[RawRow], device_id: str, asked: int) -> None:
    found = known.since(device_id, asked)
    if found is not None:
        wanted = [row for row in rows if row.at >= asked]
        assert found.at.tolist() == [row.at for row in wanted]
        cells = [[row.values.get(name, np.nan) for name in NEEDED] for row in wanted]
        assert found.values.tobytes() == np.array(cells, dtype=float).reshape(-1, len(NEEDED)).tobytes()
    earlier = known.before(device_id, asked)
    if earlier is not None:
        assert earlier == max(row.at for row in rows if row.at < asked)


def test_more_is_known_of_each_device_where_memory_is_scarce_than_would_have_room_plain(monkeypatch):
    monkeypatch.setattr(samples, "MOST_BYTES", 40_000)
    monkeypatch.setattr(samples, "PLAIN_BYTES", 20_000)
    known = Samples({})
    for turn in range(600):
        at = NOW + turn * 10_000
        sent = {"temp_inlet": 30.0 + turn % 7 / 10, "power": 1900.0, "compressor_running": True}
        known.add([RawRow.of(device_id, at, 1, at, "device", sent) for device_id in DEVICES])
    rows = [known.since(device_id, NOW + 200 * 10_000) for device_id in DEVICES]
    assert [len(found.at) if found else 0 for found in rows] == [400] * 3
    assert 3 * 400 * 8 * (len(NEEDED) + 1) > 3 * 40_000
