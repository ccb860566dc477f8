"""The bell: counted and listed are the alerts that stand, and no more is claimed than is known."""

import re

from panel_app.components.bell import bell
from tests.panel_app.answers import HOUR, MINUTE, NOW, an_alert

MOST = 500


def alerts(number: int) -> list:
    return [an_alert("current", id=f"house{n}/current/1", device_id=f"house{n}") for n in range(number)]


def types(html: str) -> list[str]:
    return re.findall(r"(\w+) · (?:critical|warning), for", html)


def test_the_worst_are_listed_first_and_of_equals_the_oldest():
    html = bell(
        [
            an_alert("current", began=3 * HOUR),
            an_alert("voltage_low", "critical", began=MINUTE),
            an_alert("pressure_low", "critical", began=HOUR),
            an_alert("device_comp", state="cleared"),
        ],
        {},
        NOW,
        MOST,
    )
    assert types(html) == ["pressure_low", "voltage_low", "current"]
    assert 'aria-label="3 open alerts"' in html


def test_a_line_names_its_device_and_leads_to_it_whatever_it_is_called():
    html = bell([an_alert("current", device_id="a&b c")], {"a&b c": "<b>north</b>"}, NOW, MOST)
    assert 'href="/?device=a%26b%20c"' in html
    assert "a&amp;b c · &lt;b&gt;north&lt;/b&gt;" in html
    assert "13\u00a0min" in html


def test_twenty_are_listed_the_others_counted():
    assert "more</p>" not in bell(alerts(20), {}, NOW, MOST)
    html = bell(alerts(33), {}, NOW, MOST)
    assert html.count("<li ") == 20
    assert "and 13 more</p>" in html


def test_beyond_ninety_nine_the_badge_says_so_and_the_label_the_number():
    assert "<b>99</b>" in bell(alerts(99), {}, NOW, MOST)
    html = bell(alerts(100), {}, NOW, MOST)
    assert "<b>99+</b>" in html
    assert 'aria-label="100 open alerts"' in html


def test_where_not_all_were_asked_for_there_may_be_more():
    html = bell(alerts(30), {}, NOW, 30)
    assert "and at least 10 more</p>" in html
    assert 'aria-label="30 or more open alerts"' in html


def test_none_and_not_known_are_told_apart():
    assert "No open alert." in bell([], {}, NOW, MOST)
    unknown = bell(None, {}, NOW, MOST)
    assert "No open alert." not in unknown
    assert "not known yet" in unknown
    assert "<b>" not in unknown
