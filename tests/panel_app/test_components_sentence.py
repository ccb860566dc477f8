"""The first line: is it well now?"""

from typing import Any

import pytest

from flows.model.times import iso
from panel_app.components.sentence import Cop, Facts, judge, sentence
from panel_app.components.short_cycling import ShortCycling, short_cycling
from tests.panel_app.answers import CALM, DAY, HOUR, LIMITS, MINUTE, NOW, a_status, an_alert


def said(status, alerts=(), cop=None, since=None) -> str:
    judged = judge(Facts(status, list(alerts), NOW, cop, since or {}))
    return f"{judged.lead}: {judged.rest}".replace("\u00a0", " ")


def test_a_calm_heating_device_is_all_well_with_its_evidence():
    assert said(a_status(), cop=Cop(3.93, "measured")) == (
        "All well: heating at 32.8 °C flow and 28.5 °C return, COP 3.9 measured over the last 30 min, no open alert,"
        " last reading 4 s ago."
    )


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("measured", "COP 3.1 measured"),
        ("counter", "COP 3.1 from its counters"),
        ("estimated", "COP ≈ 3.1 estimated"),
    ],
)
def test_the_cop_says_where_it_comes_from(origin, words):
    assert f"{words} over the last 30 min" in said(a_status(), cop=Cop(3.1, origin))


def test_a_device_that_sends_two_fields_gets_a_sentence_of_these_two():
    status = a_status({"temp_inlet": 45.0, "voltage": 230.0})
    assert said(status) == "All well: return water 45.0 °C, voltage 230.0 V, no open alert, last reading 4 s ago."


@pytest.mark.parametrize(
    ("values", "since", "words"),
    [
        (
            {"compressor_running": False},
            {"compressor_running": NOW - 61 * MINUTE},
            "resting since 13:07, outdoor 3.8 °C",
        ),
        ({"compressor_running": False}, {"compressor_running": NOW - 3 * DAY}, "resting for 3 d, outdoor 3.8 °C"),
        ({"compressor_running": False}, {}, "resting, outdoor 3.8 °C"),
        ({"defrost_active": True}, {"defrost_active": NOW - 4 * MINUTE}, "defrosting since 14:04, flow 32.8 °C"),
        ({"dhw_active": True}, {}, "heating hot water at 32.8 °C flow and 28.5 °C return and 42.0 °C tank"),
        (
            {"temp_outlet": 12.0, "temp_inlet": 17.0, "temp_ambient": 28.0},
            {},
            "cooling at 12.0 °C flow and 17.0 °C return",
        ),
        ({"compressor_running": None, "power": 140.0}, {}, "resting, outdoor 3.8 °C"),
        ({"temp_outlet": None, "temp_inlet": None}, {}, "heating, no open alert"),
    ],
)
def test_what_the_machine_does_is_said(values, since, words):
    status = a_status({name: value for name, value in (CALM | values).items() if value is not None})
    assert said(status, since=since).startswith(f"All well: {words}")


def test_a_critical_alert_needs_you_with_value_limit_and_duration():
    alerts = [an_alert("voltage_low", value=214.2), an_alert("compressor_temp", "critical", value=95.3)]
    assert said(a_status(CALM | {"temp_compressor": 96.4}), alerts) == (
        "Needs you: discharge temperature is 96.4 °C, critical from 95 °C, for 13 min, and 1 more open alert;"
        " still heating, flow 32.8 °C, last reading 4 s ago."
    )


def test_a_value_that_came_back_within_the_hysteresis_is_told_as_past():
    text = said(a_status(CALM | {"voltage": 216.0}), [an_alert("voltage_low", value=214.2)])
    assert text.startswith("Worth a look: voltage was 214.2 V, warning from 215 V down, for 13 min; still heating")


def test_an_alert_without_a_limit_of_ours_is_told_by_its_message():
    text = said(a_status(), [an_alert("device_comp", message="the device reports comp as warning.")])
    assert text.startswith("Worth a look: the device reports comp as warning, for 13 min;")


@pytest.mark.parametrize(("state", "began"), [("cleared", 13 * MINUTE), ("noted", 25 * HOUR)])
def test_what_is_over_is_no_open_alert(state, began):
    assert "All well" in said(a_status(), [an_alert("voltage_low", state=state, began=began)])


def test_what_the_device_itself_reported_is_worth_a_look_for_a_day():
    fan = an_alert("device_fan_blocked", "critical", began=3 * HOUR, state="noted")
    assert said(a_status(), [fan]) == (
        "Worth a look: the device reported fan blocked, critical, 3 h ago; still heating, flow 32.8 °C,"
        " last reading 4 s ago."
    )
    filters = [an_alert(f"device_filter{number}", state="noted") for number in range(3)]
    assert "reported fan blocked, critical, 3 h ago, and 3 other things;" in said(a_status(), [*filters, fan])
    assert said(a_status({}), [fan]).endswith("3 h ago; last reading 4 s ago.")


def test_what_the_device_reported_does_not_hide_an_open_alert():
    fan = an_alert("device_fan_blocked", "critical", state="noted")
    assert said(a_status(), [fan, an_alert("voltage_low")]).startswith("Worth a look: voltage is")


def test_alerts_that_are_not_known_yet_are_not_called_none():
    assert "alerts not known yet" in judge(Facts(a_status(), None, NOW)).rest


def test_a_silent_device_cannot_be_told_whatever_alerts_are_open():
    alerts = [an_alert("device_offline", "critical")]
    assert said(a_status(ago=23 * MINUTE), alerts) == (
        "Cannot tell: no reading for 23 min; it was heating at 32.8 °C flow."
    )
    assert said(a_status(ago=2 * HOUR), [*alerts, an_alert("voltage_low")]).endswith("with 1 other open alert.")
    assert said(a_status(ago=5 * MINUTE), []).endswith("with no open alert.")


def test_a_site_with_a_longer_timeout_is_online_as_long_as_the_api_says_so():
    assert said(a_status(ago=10 * MINUTE, online=True)).startswith("All well: heating")
    assert said(a_status(ago=16 * MINUTE, online=True)).startswith("Cannot tell: no reading for 16 min")


def test_a_last_will_counts_though_the_last_reading_is_fresh():
    assert said(a_status(online=False)).startswith(
        "Cannot tell: the device went offline, its last reading was 4 s ago; it was heating"
    )


def test_a_device_that_never_sent_a_reading_cannot_be_told():
    status = {"device_id": "site3", "is_online": False, "last_seen": None, "limits": LIMITS}
    assert said(status) == "Cannot tell: it has not sent a reading yet."


def a_cycle(began: int, run: int, begun_by: str = "edge") -> dict[str, Any]:
    """A cycle that began so long ago. began, run: [ms]"""
    ends = {"start": iso(NOW - began), "end": iso(NOW - began + run)}
    return {**ends, "seconds": run / 1_000, "begun_by": begun_by, "ended_by": "edge"}


SHORT_CYCLES = [a_cycle(began * MINUTE, 6 * MINUTE) for began in range(8, 58, 8)]


def judged(status, **given):
    found = judge(Facts(status, given.pop("alerts", []), NOW, **given))
    return found.level, f"{found.lead}: {found.rest}".replace("\u00a0", " ")


def test_short_cycling_is_worth_a_look_with_its_starts_and_median_run():
    level, words = judged(a_status(), cycles=SHORT_CYCLES)
    assert level == "warning"
    assert words == (
        "Worth a look: 7 starts in the last hour, median run 6 min; still heating, flow 32.8 °C, last reading 4 s ago."
    )


def test_short_cycling_does_not_hide_an_alert():
    alerts = [an_alert("compressor_temp", "critical", value=95.3)]
    assert judged(a_status(), alerts=alerts, cycles=SHORT_CYCLES)[0] == "critical"


def test_six_starts_within_the_hour_a_quarter_apart_at_most_are_too_many():
    five = SHORT_CYCLES[:5]
    assert short_cycling(five, NOW) is None
    assert short_cycling(five, NOW, running_since=NOW - MINUTE) == ShortCycling(6, 6 * MINUTE)
    assert short_cycling(five, NOW, running_since=NOW - 8 * MINUTE) is None  # the newest of the five
    assert short_cycling([*five, a_cycle(61 * MINUTE, MINUTE)], NOW) is None
    assert short_cycling([*five, a_cycle(50 * MINUTE, MINUTE, begun_by="gap")], NOW) is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"backup_active": True, "backup_power": 2074.0},
            "28.5 °C return, backup heater on at 2\u2009074 W, no open",
        ),
        ({"backup_power": 2074.0}, "backup heater on at 2\u2009074 W"),
        ({"backup_active": True}, "return, backup heater on, no open alert"),
    ],
)
def test_a_backup_heater_that_runs_is_named(values, words):
    assert words in said(a_status(CALM | values))
    assert "; still heating, flow 32.8 °C, backup heater on" in said(a_status(CALM | values), [an_alert("x")])


def test_a_backup_heater_that_rests_or_was_heard_long_ago_is_not_named():
    assert "backup" not in said(a_status(CALM | {"backup_active": False, "backup_power": 0.0}))
    old = {"backup_power": 20 * MINUTE}
    assert "backup" not in said(a_status(CALM | {"backup_power": 2074.0}, ages=old))


def test_values_older_than_a_quarter_of_an_hour_are_not_told_as_current():
    heats = {name: 16 * MINUTE for name in CALM if name not in ("voltage", "temp_ambient")}
    level, words = judged(a_status(ages=heats), cop=Cop(3.9, "measured"))
    assert level == "cannot-tell"
    assert words == (
        "Cannot tell: no heating values for 16 min, outdoor 3.8 °C, voltage 231.4 V, no open alert,"
        " last reading 4 s ago."
    )
    waters = {"temp_outlet": 20 * MINUTE, "temp_inlet": 16 * MINUTE}
    assert judged(a_status(ages=waters), cop=Cop(3.9, "measured"))[1] == (
        "All well: heating, no temperatures for 16 min, no open alert, last reading 4 s ago."
    )
    assert "32.8 °C flow" in said(a_status(ages=dict.fromkeys(CALM, 15 * MINUTE)))


def test_an_old_value_that_an_alert_judged_is_told_as_past():
    hot = a_status(CALM | {"temp_compressor": 96.4}, ages={"temp_compressor": 16 * MINUTE})
    alerts = [an_alert("compressor_temp", "critical", value=95.3)]
    assert said(hot, alerts).startswith("Needs you: discharge temperature was 95.3 °C")


def test_a_recording_is_history_and_no_silence():
    status = {**a_status(ago=28 * HOUR, online=False), "last_seen": None}
    assert judged(status) == (
        "cannot-tell",
        ": site1 holds history up to Mon 9 Feb 10:08; nothing is live.",
    )


def test_numbers_that_change_are_not_spoken_but_another_state_is():
    one = judge(Facts(a_status(), [], NOW))
    other = judge(Facts(a_status(CALM | {"temp_outlet": 35.1}, ago=9_000), [], NOW))
    assert one.rest != other.rest
    assert one.state == other.state
    alarmed = judge(Facts(a_status(), [an_alert("compressor_temp", "critical")], NOW))
    later = judge(Facts(a_status(), [an_alert("compressor_temp", "critical", began=HOUR)], NOW))
    assert alarmed.state == later.state == "Needs you: compressor temp critical."


def test_the_line_has_a_shape_for_its_level_and_speaks_politely():
    html = sentence(Facts(a_status(), [an_alert("compressor_temp", "critical")], NOW))
    assert "mark-critical" in html
    assert html.count('aria-live="polite"') == 1


def test_hostile_words_are_escaped_and_cut():
    html = sentence(Facts(a_status(), [an_alert("x", message="<script>alert(1)</script>" * 50)], NOW))
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") < 10
