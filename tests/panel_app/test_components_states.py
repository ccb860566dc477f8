"""The page's states: which answer causes each, what it says and what it offers."""

import pytest

from panel_app.components import states
from panel_app.components.page_state import NEWEST, Answers, Failure, Refused, nearest, page_state
from panel_app.components.walk import walk
from panel_app.words import zone_of
from tests.panel_app.answers import DAY, MINUTE, NOW, a_status

BERLIN = zone_of("Europe/Berlin")
HEALTHY = {"status": "healthy"}
DEVICES = [{"device_id": f"site{number}"} for number in range(1, 301)]
FAILURE = Failure("Alerts", 503, "the store is away", NOW)
WALK = {
    "links": [
        {"link": "broker", "state": "ok", "detail": "answers"},
        {"link": "connected", "state": "broken", "detail": "never seen"},
        {"link": "message", "state": "unknown", "detail": ""},
    ],
    "broken": "connected",
    "sentence": "It is not connected.",
    "remedy": "Check its password.",
}


def known(**given):
    return Answers(
        NOW, **({"health": HEALTHY, "devices": DEVICES, "status": a_status(), "status_code": 200} | given)
    )


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        (Answers(NOW), "loading"),
        (Answers(NOW, failures=[FAILURE]), "part-failed"),
        (known(health={"status": "unhealthy"}), "store-down"),
        (known(health={"status": "degraded"}), "well"),
        (known(devices=[], status=None, status_code=404), "first-run"),
        (known(status=None, status_code=404), "unknown-device"),
        (known(behind_ms=14 * MINUTE, behind_before_ms=15 * MINUTE), "catching-up"),
        (known(behind_ms=15 * MINUTE, behind_before_ms=14 * MINUTE), "well"),
        (known(behind_ms=9_000, behind_before_ms=15_000), "well"),
        (known(status=a_status(ago=23 * MINUTE)), "stale"),
        (known(failures=[FAILURE]), "part-failed"),
        (known(status=a_status(ago=23 * MINUTE), failures=[FAILURE]), "stale"),
        (known(status=a_status(online=False), failures=[Failure(NEWEST, 0, "away", NOW)]), "part-failed"),
        (known(series={"readings": 0}), "no-data"),
        (known(series={"readings": 8208}), "well"),
    ],
)
def test_the_answers_decide_the_state(answers, state):
    assert page_state(answers) == state


def test_a_store_that_is_down_hides_that_its_devices_cannot_be_read():
    assert (
        page_state(known(health={"status": "unhealthy"}, failures=[FAILURE], series={"readings": 0}))
        == "store-down"
    )


def test_the_nearest_names_of_an_unknown_device_are_offered():
    assert nearest("site999", DEVICES)[0] == "site99"
    html = states.unknown_device("sitee12", DEVICES)
    assert "No device is called sitee12." in html
    assert 'data-action="device" data-id="site12"' in html


def test_an_unknown_device_without_others_offers_nothing_that_does_not_exist():
    assert "data-action" not in states.unknown_device("site9", [])


def test_the_first_run_offers_the_demo_and_a_line_to_copy():
    html = states.first_run('python "x" --device-id site1', None)
    assert "No device has sent anything yet." in html
    assert 'data-action="demo"' in html
    assert 'data-action="demo"' not in states.first_run("x", None, demo=False)
    assert 'data-copy="python &#34;x&#34; --device-id site1"' in html


def test_the_walk_stops_at_the_broken_link_and_says_the_remedy():
    html = walk(WALK)
    shapes = [html.index(mark) for mark in ("mark-well", "mark-critical", "mark-open")]
    assert shapes == sorted(shapes)
    assert "It is not connected. Check its password." in html
    assert walk(None) == ""


def test_the_first_page_says_each_thing_once_and_its_command_is_the_one_to_copy():
    remedy = "Publish a reading to heatpump/site1/data: `python scripts/simulate_device.py --device-id site1`."
    said = "No device has sent anything yet."
    links = {"links": [], "broken": "message", "sentence": said, "remedy": remedy}
    line = "python scripts/simulate_device.py --device-id site1 --port 1999"
    html = states.first_run(line, links)
    assert html.count(said) == 1
    assert "Publish a reading to heatpump/site1/data:" in html
    assert "`" not in html and html.count(f'<code tabindex="0">{line}</code>') == html.count("<code") == 1
    alone = states.first_run("", links)
    assert "data: <code>python scripts/simulate_device.py --device-id site1</code>." in alone


def test_a_demo_that_was_asked_for_says_that_it_loads():
    html = states.first_run("x", WALK, loads=True)
    assert "The demo is loading." in html
    assert 'data-action="demo"' not in html and "mark-critical" not in html


def test_a_device_announced_a_moment_ago_waits_without_alarm():
    html = states.waiting("site1")
    assert "waiting for the first reading" in html
    assert "mark-critical" not in html and "data-action" not in html


def test_a_device_whose_messages_were_all_refused_is_not_called_unknown():
    html = states.unknown_device("site17", DEVICES, Refused(3, "not_json"))
    words = "site17 has sent only messages that could not be read: 3, the last because not_json."
    assert words in html
    assert 'href="/pipeline?node=:dead-letters"' in html
    assert "No device is called" not in html


def test_a_first_message_that_has_not_come_is_waited_for_but_a_broker_that_is_away_is_trouble():
    def drawn(broken):
        return states.first_run("", {"links": [{"link": broken, "state": "broken", "detail": ""}]})

    assert "mark-cannot-tell" in drawn("message") and "mark-critical" not in drawn("message")
    assert "mark-critical" in drawn("broker")


def test_a_silent_device_says_since_when_and_shows_its_last_values():
    html = states.stale(a_status(ago=23 * MINUTE), NOW, WALK).replace("\u00a0", " ")
    assert "site1 last spoke 23 min ago, at 13:45:07; the values are from then." in html
    assert "32.8 <small>°C" in html
    assert 'data-action="walk"' in html
    assert "Check its password." in html


def test_a_store_that_is_down_says_what_waits():
    html = states.store_down(NOW, NOW - 14 * MINUTE, 25_032, BERLIN).replace("\u00a0", " ")
    assert (
        "The store has not answered for 14 min. Nothing is lost: 25\u2009032 messages wait in the journal." in html
    )
    assert "from 13:54:07" in html
    assert "Nothing is lost" not in states.store_down(NOW, None, None, BERLIN)


def test_catching_up_says_how_far_and_how_long():
    html = states.catching_up(NOW, 14 * MINUTE, 27_300, 54_600, 455.0, NOW - 6 * MINUTE, BERLIN).replace(
        "\u00a0", " "
    )
    assert "Replaying 14 min of backlog; live again in about 1 min." in html
    assert 'max="54600" value="27300"' in html
    assert "live again" not in states.catching_up(NOW, MINUTE, 10, 10, 0.0, None, BERLIN)


def test_an_empty_span_offers_the_nearest_data():
    html = states.no_data("site1", NOW - 3 * DAY, NOW, NOW - 4 * DAY, BERLIN)
    assert "site1 sent nothing between Sat 7 Feb and Tue 10 Feb." in html
    assert f'data-action="go" data-at="{NOW - 4 * DAY}"' in html
    assert "data-action" not in states.no_data("site1", NOW - 3 * DAY, NOW, None, BERLIN)


def test_a_part_that_failed_says_which_why_when_and_can_be_tried_again():
    html = states.parts_failed([FAILURE], NOW, NOW + 8_000, BERLIN).replace("\u00a0", " ")
    assert "Alerts could not be loaded: the API answered 503 at 14:08:07." in html
    assert "Next try in 8 s." in html
    assert 'data-action="retry"' in html


def test_parts_that_failed_together_are_told_in_one_sentence():
    away = Failure("Newest values", 0, "the API cannot be reached (the connection was cut off)", NOW)
    charts = Failure("Charts", 0, away.detail, NOW + 1_000)
    html = states.parts_failed([FAILURE, away, charts], NOW, None, BERLIN)
    assert html.count("<section") == 1
    assert (
        "Alerts, Newest values and Charts could not be loaded: the API answered 503 at 14:08:07;"
        " the API cannot be reached (the connection was cut off) at 14:08:08." in html
    )
    assert "are current" not in html and "are current" in states.parts_failed([charts], NOW, None, BERLIN)


def test_an_acknowledgement_without_an_answer_is_not_confirmed_rather_than_not_loaded():
    asked = Failure(
        "the acknowledgement of voltage_high", 503, "the flow is down", NOW, alert="site1/voltage_high/1"
    )
    html = states.parts_failed([asked], NOW, None, BERLIN).replace("\u00a0", " ")
    assert "The acknowledgement of voltage_high could not be confirmed: the API answered 503 at 14:08:07." in html
    assert "Should it come through yet, the alert says so." in html
    assert "loaded" not in html and "are current" not in html
    both = states.parts_failed([asked, FAILURE], NOW, None, BERLIN)
    assert "Alerts could not be loaded; the acknowledgement of voltage_high could not be confirmed: the" in both


def test_nothing_is_called_current_where_nothing_new_would_be_heard():
    assert "are current" in states.parts_failed([FAILURE], NOW, None, BERLIN, live=True)
    assert "are current" not in states.parts_failed([FAILURE], NOW, None, BERLIN, live=False)


def test_loading_says_what_for_and_can_be_cancelled():
    html = states.loading("site1")
    assert "Loading 24 hours of site1." in html and 'data-action="cancel"' in html


def test_a_state_that_stands_for_the_whole_page_is_its_heading():
    for html in (
        states.loading("site1"),
        states.first_run("", None),
        states.first_run("", None, loads=True),
        states.unknown_device("site9", DEVICES),
    ):
        assert html.count("<h1>") == 1


def test_hostile_names_are_escaped_in_every_state():
    evil = "<img src=x onerror=alert(1)>"
    status = a_status(ago=23 * MINUTE)
    status["device_id"] = evil
    links = {"links": [{"link": evil, "state": evil, "detail": evil}], "remedy": evil}
    failure = Failure(evil, 0, evil, NOW)
    for html in (
        states.loading(evil),
        states.first_run(evil, links),
        states.unknown_device(evil, [{"device_id": evil + "1"}]),
        states.stale(status, NOW, links),
        states.no_data(evil, NOW - DAY, NOW, NOW, BERLIN),
        states.parts_failed([failure], NOW, None, BERLIN),
    ):
        assert "<img" not in html
