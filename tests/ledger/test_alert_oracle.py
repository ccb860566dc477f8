"""The alert node against the oracle, which looks at one alert at a time over the whole list."""

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.model.cells import cells_of
from flows.model.reading import ORDER_STEP, Reading
from flows.nodes.alert import NODE
from tests.effort import examples
from tests.oracle.alerts import Change, transitions
from tests.oracle.readings import FIELDS, Published, values_of

NOON = 1_770_033_600_000

values = {
    "voltage": [209.0, 210.0, 211.9, 212.1, 215.0, 217.0, 217.1, 230.0, 243.0, 243.1, 245.0, 247.9, 248.1, 250.0],
    "temp_compressor": [60.0, 81.9, 82.0, 85.5, 91.9, 92.0, 95.0],
    "pressure_high": [300.0, 389.9, 390.0, 400.0, 439.9, 440.0, 450.0],
    "pressure_low": [20.0, 25.0, 25.1, 40.0, 45.0, 45.1, 70.0],
    "current": [8.0, 11.4, 11.5, 12.0, 14.4, 14.5, 15.0],
    "compressor_running": [True, True, True, False],
    "defrost_active": [False, False, False, True],
}
places = {name: (group, key) for group, keys in FIELDS.items() for key, name in keys.items()}
level_groups = st.dictionaries(
    st.sampled_from(["voltage", "compressor_temp", "pressure_high"]), st.integers(0, 2), max_size=2
)


@st.composite
def published(draw):
    """Readings in order of arrival; a few come late."""
    at, sent = NOON, []
    for _ in range(draw(st.integers(1, 25))):
        payload: dict = {"alerts": draw(level_groups)}
        for name, value in draw(
            st.fixed_dictionaries({}, optional={name: st.sampled_from(of) for name, of in values.items()})
        ).items():
            group, key = places[name]
            payload.setdefault(group, {})[key] = value
        at += draw(st.sampled_from([1, 10_000, 60_000, 179_999, 180_000, 0, -5_000]))
        sent.append(Published("site1", at, payload))
    return sent


def judged_by_the_node(sent: list[Published]) -> dict[str, list[Change]]:
    readings = [
        Reading(
            p.device_id, n * ORDER_STEP, p.at, cells_of(values_of(p.payload)), at=p.at, levels=p.payload["alerts"]
        )
        for n, p in enumerate(sent)
    ]
    out = {port: [] for port in NODE.out}
    NODE.recover(NODE.Params(), None).on_items(readings, out)
    found: dict[str, list[Change]] = {}
    for t in out["transitions"]:
        found.setdefault(t.alert_type, []).append(Change(t.alert_type, t.state, t.level, t.at, t.value))
    return found


@settings(max_examples=examples(300), deadline=None)
@given(published())
def test_the_node_makes_the_oracles_transitions(sent):
    assert judged_by_the_node(sent) == transitions(sent).get("site1", {})
