"""The strip of newest values, the device's line, alerts and flags."""

import pytest

from flows.model.quantities import BY_NAME, QUANTITIES
from flows.model.times import iso
from panel_app.components.banner import banner
from panel_app.components.flags import flags_since
from panel_app.components.header import header
from panel_app.components.now import now, now_groups
from panel_app.components.now_fields import GROUPS, MOST_READ
from panel_app.components.scale import scale_of
from tests.panel_app.answers import CALM, DAY, HOUR, LIMITS, MINUTE, NOW, a_status, an_alert

HOSTILE = "<img src=x onerror=alert(1)>\"'"


def cells(status, alerts=(), since=None, untrusted=()):
    groups = now_groups(status, list(alerts), NOW, since or {}, untrusted)
    return {cell.field: cell for group in groups for cell in group.cells}


def test_every_quantity_has_exactly_one_place():
    placed = [field for _, labels in GROUPS for field in labels]
    assert sorted(placed) == sorted(BY_NAME)


def test_all_that_was_ever_sent_is_shown_and_nothing_else():
    assert set(cells(a_status())) == set(CALM)
    assert set(cells(a_status({"temp_inlet": 45.0, "voltage": 230.0}))) == {"temp_inlet", "voltage"}


def test_a_cell_says_value_unit_and_age():
    cell = cells(a_status(ages={"temp_outlet": 6 * MINUTE}))["temp_outlet"]
    assert (cell.text, cell.unit, cell.age, cell.state) == ("32.8", "°C", "6\u00a0min", "ok")


def test_three_phases_have_a_row_each():
    values = {quantity.name: 1.0 for quantity in QUANTITIES if quantity.name.startswith("phase")}
    groups = now_groups(a_status(values), [], NOW, {}, ())
    assert [(group.name, len(group.cells)) for group in groups] == [("Phase 1", 6), ("Phase 2", 6), ("Phase 3", 6)]


def test_an_open_alert_colours_the_field_it_judges_and_a_value_beyond_a_limit_alone_does_not():
    status = a_status(CALM | {"pressure_low": 15.0, "temp_compressor": 96.0})
    shown = cells(status, [an_alert("compressor_temp", "critical"), an_alert("voltage_low", state="cleared")])
    assert {field: cell.state for field, cell in shown.items() if cell.state != "ok"} == {
        "temp_compressor": "critical"
    }


def test_a_silent_device_is_stale_in_every_field():
    assert {cell.state for cell in cells(a_status(ago=23 * MINUTE)).values()} == {"stale"}


def test_a_field_that_fell_silent_is_stale_alone_but_a_set_point_stays_as_it_was_set():
    shown = cells(a_status(ages={"temp_dhw": 16 * MINUTE, "setpoint_flow": 72 * HOUR}))
    assert [field for field, cell in shown.items() if cell.state == "stale"] == ["temp_dhw"]


def test_a_field_that_the_device_does_not_trust_has_no_value():
    cell = cells(a_status(), untrusted={"voltage"})["voltage"]
    assert (cell.text, cell.unit, cell.state, cell.scale) == ("untrusted", "", "untrusted", None)


@pytest.mark.parametrize(
    ("given", "ages", "text"),
    [
        ({"compressor_running": True}, {}, "5.50"),
        ({"compressor_running": False}, {}, "–"),
        ({"compressor_running": None, "power": 12.0}, {}, "–"),
        ({"compressor_running": None, "power": None}, {}, "5.50"),
        ({"compressor_running": False, "power": None}, {"compressor_running": 16 * MINUTE}, "5.50"),
    ],
)
def test_a_machine_that_rests_has_no_cop(given, ages, text):
    shown = cells(a_status(CALM | {"carnot_cop": 5.5, "heat_power": 120.0} | given, ages=ages))
    assert (shown["carnot_cop"].text, shown["heat_power"].text) == (text, "120")


def test_a_flag_says_since_when():
    cell = cells(a_status(), since={"compressor_running": NOW - 20 * MINUTE})["compressor_running"]
    assert (cell.text, cell.on, cell.since) == ("on", True, "20\u00a0min")


def test_a_phone_shows_the_twelve_most_read_and_what_comes_next_where_some_are_missing():
    places = sorted(cell.order for cell in cells(a_status()).values() if cell.order)
    assert places == list(range(1, 10))
    everything = {quantity.name: 1.0 for quantity in QUANTITIES if quantity.kind != "flag"}
    chosen = {field: cell.order for field, cell in cells(a_status(everything)).items() if cell.order}
    assert sorted(chosen, key=chosen.__getitem__) == list(MOST_READ)


def test_the_rest_is_offered_only_where_there_is_more():
    everything = {quantity.name: 1.0 for quantity in QUANTITIES if quantity.kind == "number"}
    assert f"All {len(everything)} fields" in now(a_status(everything), [], NOW)
    assert "<details" not in now(a_status({"temp_inlet": 45.0}), [], NOW)


def test_a_scale_places_limits_and_value_and_says_them():
    scale = scale_of("voltage", 230.0, LIMITS["voltage"])
    assert scale is not None
    assert scale.dot == 50.0
    assert [(tick.at, tick.level) for tick in scale.ticks] == [
        (25.0, "warning"),
        (16.7, "critical"),
        (75.0, "warning"),
        (83.3, "critical"),
    ]
    assert scale.words.replace("\u00a0", " ") == (
        "warning from 215 V down, critical from 210 V down, warning from 245 V, critical from 250 V"
    )


@pytest.mark.parametrize(("held", "dot"), [(-999.0, 0.0), (999.0, 100.0)])
def test_a_value_beyond_the_scale_stays_at_its_end(held, dot):
    scale = scale_of("voltage", held, LIMITS["voltage"])
    assert scale is not None and scale.dot == dot


def test_no_limits_no_scale():
    assert scale_of("power", 5.0, {}) is None


def test_banners_stand_worst_first_and_can_be_acknowledged():
    alerts = [
        an_alert("voltage_low", value=214.2),
        an_alert("compressor_temp", "critical"),
        an_alert("pressure_low", state="acknowledged", acknowledged_by="Anna"),
    ]
    html = banner(a_status(CALM | {"voltage": 214.2, "temp_compressor": 96.4}), alerts, NOW).replace("\u00a0", " ")
    places = [
        html.index(words) for words in ("96.4 °C, limit 95 °C, since 13:55", "214.2 V, limit 215 V", "by Anna")
    ]
    assert places == sorted(places)
    assert html.count('data-action="ack"') == 2
    assert 'data-id="site1/compressor_temp/8192"' in html
    assert html.count('role="alert"') == 1


def test_a_cleared_alert_says_goodbye_for_ten_minutes():
    cleared = an_alert("voltage_low", began=20 * MINUTE, state="cleared", cleared_at=iso(NOW - 3 * MINUTE))
    assert "voltage_low cleared at 14:05 after 17\u00a0min" in banner(a_status(), [cleared], NOW)
    assert "cleared" not in banner(a_status(), [cleared], NOW + 10 * MINUTE)


def test_what_the_device_reported_itself_is_told_whole_with_its_value_for_a_day():
    words = "ventilateur bloqué au démarrage, réarmement manuel " * 9
    noted = [
        an_alert("device_fan", "critical", began=ago, id=f"site1/device_fan/{ago}", state="noted", value=-3.14)
        | {"message": words.strip()}
        for ago in (3 * HOUR, 5 * HOUR, 25 * HOUR)
    ]
    html = banner(a_status(), [*noted, an_alert("device_filter", state="noted", began=2 * HOUR)], NOW)
    html = html.replace("\u00a0", " ")
    told = "value −3.14, reported by the device 2 times, the last time at 11:08"
    assert f"<strong>device_fan · critical</strong> <span>{words.strip()}, {told}</span>" in html
    assert "<strong>device_filter · warning</strong> <span>reported by the device at 12:08</span>" in html
    assert html.count('role="alert"') == 1 and "Acknowledge" not in html
    assert html.index("device_fan") < html.index("device_filter")


def test_alerts_of_one_type_that_cleared_again_and_again_are_one_notice():
    flapping = [
        an_alert("device_offline", "critical", began=ago, id=f"site1/device_offline/{ago}", state="cleared")
        | {"cleared_at": iso(NOW - ago)}
        for ago in range(3 * MINUTE, 3 * MINUTE + 21_000, 1_000)
    ]
    other = an_alert("voltage_low", state="cleared", cleared_at=iso(NOW - MINUTE))
    html = banner(a_status(), [*flapping, other], NOW).replace("\u00a0", " ")
    assert "device_offline cleared 21 times, the last time at 14:05 after 0 s" in html
    assert html.count("cleared-") == 2


def test_the_devices_line_tells_what_is_known_and_nothing_else():
    html = header(a_status(), NOW)
    for words in (
        "Heating",
        "online",
        "last seen 4\u00a0s ago",
        "\u221261\u00a0dBm",
        "firmware 1.4.0",
        "boundary H4",
    ):
        assert words in html
    sparse = header(a_status({}, attributes={}, metadata={"name": "", "spf_boundary": "", "timezone": ""}), NOW)
    assert not any(words in sparse for words in ("rssi", "firmware", "boundary", "simulated", "chip"))


def test_a_silent_device_has_no_state_and_is_offline():
    html = header(a_status(ago=23 * MINUTE), NOW)
    assert "offline" in html and "chip" not in html


def test_a_simulated_device_says_so():
    assert "simulated" in header(a_status(attributes={"simulated": "true"}), NOW)


def test_what_a_device_says_of_itself_is_escaped_everywhere():
    status = a_status(
        attributes={"version": HOSTILE, "rssi": HOSTILE}, metadata={"name": HOSTILE, "refrigerant": HOSTILE}
    )
    status["device_id"] = HOSTILE
    alert = an_alert(HOSTILE, "critical", message=HOSTILE)
    for html in (header(status, NOW), now(status, [alert], NOW), banner(status, [alert], NOW)):
        assert "<img" not in html


def series(step: int, **flags):
    length = len(next(iter(flags.values())))
    return {"time": [iso(NOW - (length - 1 - i) * step) for i in range(length)], "values": flags}


def test_a_flag_is_as_it_is_since_the_first_point_after_the_last_other():
    held = series(10_000, compressor_running=[True, False, True, None, True])
    assert flags_since(a_status(), held) == {"compressor_running": NOW - 20_000}


def test_of_minutes_the_one_that_is_partly_so_is_where_it_changed():
    held = series(MINUTE, compressor_running=[0.0, 0.4, 1.0, 1.0], defrost_active=[0.0, 0.0, 0.0, 0.0])
    assert flags_since(a_status(), held) == {"compressor_running": NOW - 2 * MINUTE}


def test_a_change_behind_a_silence_is_not_known():
    held = {"time": [iso(NOW - HOUR), iso(NOW - MINUTE)], "values": {"compressor_running": [False, True]}}
    assert flags_since(a_status(), held) == {}


def test_what_a_recording_holds_is_not_called_now():
    recorded = {**a_status(ago=DAY, online=False), "last_seen": None}
    assert "At its newest reading</h2>" in now(recorded, [], NOW)
    assert "Now</h2>" in now(a_status(), [], NOW)
