"""The pipeline page's pieces, from answers of the API to what stands on the page."""

import re
from html import unescape

import pytest

from flows.model.times import iso
from panel_app.api_client import ApiProblem
from panel_app.components.pipeline.conservation import conservation, sums_of
from panel_app.components.pipeline.graph import graph, parts_of
from panel_app.components.pipeline.letters import dead_letters, letters_of
from panel_app.components.pipeline.nodes import cards
from panel_app.components.pipeline.page import pipeline_page
from panel_app.components.pipeline.phone import phone_list
from panel_app.components.pipeline.samples import Sample, dots, rate, sample_of
from panel_app.components.pipeline.selected import item_of, selected_node
from panel_app.components.pipeline.stall import trouble
from panel_app.components.pipeline.tape import place, tape
from panel_app.components.pipeline.trace import follow, stops_of
from panel_app.words import THIN
from tests.panel_app.pipeline_answers import (
    NOW,
    a_detail,
    a_letter,
    a_node,
    a_trace,
    an_answer,
    an_item,
)

HOSTILE = '<img src=x onerror="alert(1)">'


def text_of(html: str) -> str:
    """What a reader sees of it, on one line."""
    return re.sub(r"[ \n]+", " ", unescape(re.sub(r"<[^>]*>", " ", html))).strip()


def counted(step: str, counts: list[int]) -> tuple[Sample, ...]:
    """A counter, second by second."""
    return tuple(Sample(NOW + second * 1_000, {f"in {step}": count}) for second, count in enumerate(counts))


def judged(samples: tuple[Sample, ...] = (), **given) -> object:
    return trouble(an_answer(**given), NOW, None, samples, NOW)


# The sum


def test_the_sum_closes_and_what_is_unread_counts_as_received_and_in_flight():
    answer = an_answer(unread=9)
    sums = sums_of(answer, "start")
    assert (sums["received"], sums["in_flight"]) == (1_009, 9)
    assert sums["received"] == sum(sums[name] for name in ("stored", "duplicate", "dead", "dropped", "in_flight"))
    assert f"1{THIN}009" in text_of(conservation(answer, "start"))
    assert "closes none missing" in text_of(conservation(answer, "start"))


def test_a_sum_that_does_not_close_names_the_difference_and_leads_to_the_node():
    html = conservation(an_answer(conservation={"unexplained": 3}, astray="judge"), "start")
    assert "3 missing look at judge" in text_of(html)
    assert 'data-action="select" data-node="judge"' in html
    assert "1 too many" in text_of(conservation(an_answer(conservation={"unexplained": -1}), "start"))


def test_the_sum_of_a_span_shows_what_changed_in_it():
    assert "= stored 300" in text_of(conservation(an_answer(), "60s"))
    assert "in flight −2" in text_of(conservation(an_answer(), "60s"))


# The tape


def test_ages_stand_on_a_logarithmic_scale_from_a_tenth_of_a_second_to_what_is_kept():
    week = 7 * 86_400
    assert [place(at, week) for at in (0, 0.1, week, 10 * week)] == [0, 0, 100, 100]
    assert place(1, week) == pytest.approx(place(10, week) / 2, abs=0.1)


def test_the_tape_is_amber_from_a_minute_behind_and_critical_with_less_than_a_day_of_room():
    calm = tape(an_answer(unread=9, behind_ms=300), ())
    assert "unread: 9 messages" in text_of(calm) and "0.3\u00a0s" in text_of(calm)
    assert ' late"' not in calm and ' failing"' not in calm
    assert ' late"' in tape(an_answer(unread=9, behind_ms=60_000), ())
    assert ' failing"' in tape(an_answer(journal={"room_s": 86_399}), ())


# Nodes


def test_a_node_is_a_button_that_says_its_name_its_rate_and_its_dead():
    nodes = [a_node("judge", dead={"empty": 61}, out={"ok": 5, "dead": 61})]
    html = graph(parts_of(an_answer(nodes), counted("judge", [0, 30, 60]), ""), "")
    assert 'aria-label="judge, 30.0 per second, 61 dead"' in html


def test_drains_name_their_reasons_or_where_they_lead():
    node = a_node(
        "judge",
        dead={"empty": 2, "odd": 3},
        out={"ok": 5, "rows": 7, "dead": 5},
        counts={"duplicate": 4, "late": 1, "dead readings": 5},
        removed={"sentinel": 6},
    )
    drains = {drain.name: drain for drain in cards(an_answer([node]), (), "")[0].drains}
    assert list(drains) == ["dead", "fields removed", "rows", "duplicate"]
    assert drains["dead"].parts == (("odd", "3"), ("empty", "2"))
    assert drains["rows"].sinks == ("store", "live")
    assert drains["duplicate"].amount == "4" and drains["duplicate"].sinks == ()


def test_nodes_wait_while_the_store_does_and_the_sink_says_why_since_when():
    waiting = {
        "waiting": "connection refused",
        "waiting_since": iso(NOW - 840_000),
        "attempts": 58,
        "next_try": iso(NOW + 18_000),
    }
    parts = parts_of(an_answer(store=waiting), (), "")
    html = text_of(graph(parts, ""))
    assert all(card.waiting and card.p99 == "–" for card in parts.cards)
    assert "connection refused since 12:54:07" in html
    assert "58, next in 18\u00a0s" in unescape(graph(parts, "")) and "waiting" in html


def test_dots_move_only_where_items_passed_and_never_more_than_did():
    assert dots(counted("judge", [5, 5]), "in judge") == 0
    assert dots(counted("judge", [5, 7]), "in judge") == 2
    assert dots(counted("judge", [5, 90]), "in judge") == 3
    assert dots(counted("judge", [90]), "in judge") == 0
    still = graph(parts_of(an_answer(), counted("judge", [5, 5]), ""), "")
    assert "moving" not in still


def test_a_rate_is_that_of_the_last_ten_seconds():
    assert rate(counted("judge", [0, *range(1_000, 1_101, 10)]), "in judge") == pytest.approx(10.0)
    assert rate((), "in judge", told=29.8) == 29.8


def test_any_graph_is_drawn_in_rows_of_at_most_six_with_every_step_once():
    steps = [f"step_{number}" for number in range(14)]
    answer = an_answer([a_node(step) for step in steps])
    html = graph(parts_of(answer, (), "step_3"), "step_3")
    assert re.findall(r'id="node-(step_\d+)"', html) == steps
    assert "--columns: 5" in html
    assert html.count('aria-pressed="true"') == 1


def test_a_sink_that_the_page_does_not_know_is_drawn_with_what_feeds_it():
    nodes = [a_node("judge", sinks={"rows": ["attic"], "ok": ["end"]})]
    html = text_of(graph(parts_of(an_answer(nodes), (), ""), ""))
    assert "attic from judge.rows" in html
    assert " end " not in html


def test_the_phone_lists_nodes_with_their_drains_and_opens_the_selected_one_in_place():
    nodes = [a_node("read in"), a_node("judge", dead={"empty": 61}, out={"ok": 9, "dead": 61})]
    html = phone_list(parts_of(an_answer(nodes), (), "judge"), "judge", "PANEL")
    assert html.index('id="node-judge"') < html.index("PANEL") < html.index("empty 61")
    assert html.count('aria-expanded="true"') == 1


def test_dead_letters_are_said_to_be_those_since_the_start_beside_whether_any_is_open():
    nodes = [a_node("judge", dead={"empty": 61}, out={"ok": 9, "dead": 61})]
    for newest, said in (iso(NOW - 1_560_000), "newest open 12:42"), (None, "none open"):
        parts = parts_of(an_answer(nodes, dead_letters={"newest": newest}), (), "")
        assert f"dead letters 61 since start {said} Review" in text_of(graph(parts, ""))
        assert f"dead letters {said} 61 since start" in text_of(phone_list(parts, "", ""))


# Stalls


def test_nothing_is_said_while_all_moves():
    assert judged() is None
    assert judged(unread=9, behind_ms=300) is None


@pytest.mark.parametrize(
    "given, lead",
    [
        ({"journal": {"full": True, "problem": "no room"}}, "The journal is full."),
        ({"journal": {"connected": False, "problem": "refused"}}, "The broker is away."),
        (
            {"store": {"waiting": "locked", "waiting_since": iso(NOW - 840_000)}},
            "The store has not taken anything for 14\u00a0min.",
        ),
        ({"unread": 9, "behind_ms": 90_000}, "The pipe is 1\u00a0min 30\u00a0s behind."),
        ({"journal": {"room_s": 7_200}}, "The journal has room for 2\u00a0h."),
    ],
)
def test_trouble_is_one_sentence_with_what_it_means_and_what_to_do(given, lead):
    found = judged(**given)
    assert found.lead.replace(" 30\u00a0s", "") == lead.replace(" 30\u00a0s", "")
    assert found.rest and found.command.startswith("heatpump ")
    assert not re.search(r"\d", found.said), "what is read aloud does not change with every second"


def test_a_pipe_that_reads_nothing_of_what_waits_stands_still():
    still = tuple(Sample(NOW + second * 1_000, {"read": 5, "unread": 9}) for second in range(3))
    assert judged(still, unread=9, behind_ms=12_000).said == "The pipe stands still."


def test_a_backlog_that_shrinks_says_when_it_will_be_gone():
    shrinks = tuple(Sample(NOW + s * 1_000, {"read": s, "unread": 1_000 - 100 * s}) for s in range(3))
    found = judged(shrinks, unread=800, behind_ms=90_000)
    assert "catches up" in found.rest and "8\u00a0s" in found.rest and found.level == "warning"


def test_a_flow_that_is_down_keeps_the_last_values_greyed_and_says_since_when():
    problem = ApiProblem("/api/pipeline", 503, "the flow does not answer; see `heatpump status`")
    html = pipeline_page(an_answer(), NOW, problem, (), NOW + 75_000, "", "start", False)
    assert "The flow has not answered for 1\u00a0min" in unescape(html)
    assert "shown is from 13:08:07 UTC" in html and 'class="values old"' in html
    assert f"1{THIN}000" in text_of(html)


def test_an_answer_that_does_not_come_is_seen_before_the_api_gives_up():
    assert trouble(an_answer(), NOW, None, (), NOW + 2_000) is None
    assert trouble(an_answer(), NOW, None, (), NOW + 3_500).said == "The flow does not answer."


def test_a_flow_that_never_answered_is_a_state_of_its_own():
    problem = ApiProblem("/api/pipeline", 503, "is not running, or not yet")
    html = pipeline_page(None, 0, problem, (), NOW, "", "start", False)
    assert "start the flow with" in html and 'id="conservation"' not in html
    assert "Asking the flow" in pipeline_page(None, 0, None, (), NOW, "", "start", False)


def test_while_the_api_does_not_answer_nobody_is_told_to_start_a_flow_that_may_run():
    silent = ApiProblem("/api/pipeline", 0, "the API did not answer in time")
    html = pipeline_page(None, 0, silent, (), NOW, "", "start", False)
    assert "Whether the flow runs is not known." in html
    assert "nothing to show until the API answers" in html and "start the flow" not in html


# The selected node


def test_an_item_is_shown_as_what_the_node_changed():
    changed = item_of(
        an_item(
            fields_after=13,
            removed=[{"field": "temp_compressor", "value": 32767, "reason": "sentinel"}],
            added=[{"field": "heat_power", "value": 5460.0}],
            time="2026-02-10T13:08:06.640Z",
            clock="device",
        )
    )
    assert changed.brief == "14 → 13 fields"
    assert [(line.sign, line.text, line.why) for line in changed.lines] == [
        ("−", "temp_compressor 32767", "sentinel"),
        ("+", "time 13:08:06.640", "device clock"),
        ("+", f"heat_power 5{THIN}460\u00a0W", ""),
    ]
    assert item_of(an_item()).brief == "14 fields, unchanged"


def test_a_node_shows_its_docstring_its_lines_of_the_graph_and_what_is_in_force():
    html = selected_node(a_detail([an_item()]), {"late": 4}, "", held=False)
    said = text_of(html)
    assert "Keep what can be." in said and "own.toml:8" in said and "[step.judge]" in said
    assert '{"power":[0,6]}' in said and "late 4" in said and "13:08:06.912 site41" in said


def test_dead_letters_of_a_node_are_those_it_counted_and_of_uncounted_reasons_those_its_docstring_names():
    letters = [a_letter(1), a_letter(2, reason="not_json"), a_letter(3, reason="odd")]
    ids = lambda nodes: [each["id"] for each in letters_of(letters, a_detail(), an_answer(nodes))]  # noqa: E731
    assert ids([a_node("judge", dead={"odd": 1})]) == [1, 3]
    assert ids([a_node("judge"), a_node("read in", dead={"empty": 1})]) == []
    assert letters_of(letters, None, None) == letters


def test_a_dead_letter_tells_what_was_sent_how_often_it_was_tried_and_what_came_of_it():
    letters = [a_letter(7, attempts=1, last_reason="empty")]
    html = dead_letters("Dead letters", letters, {7: '{"temperature":'}, {}, NOW)
    assert 'data-action="retry" data-id="7"' in html
    assert "12:41:20 site17 empty" in text_of(html) and "retried once, empty again" in text_of(html)
    assert "refused: empty" in dead_letters("Dead letters", letters, {}, {7: "refused: empty"}, NOW)
    assert "None is open" in dead_letters("Dead letters", [], {}, {}, NOW)


# One reading


def test_a_followed_reading_stops_at_journal_nodes_live_and_store_with_times():
    stops = stops_of(a_trace())
    assert [(stop.name, stop.ms) for stop in stops] == [
        ("ingest", "0.0"),
        ("judge", "2.6"),
        ("live", "4.1"),
        ("store", "9.8"),
    ]
    assert "synced at 2.1\u00a0ms, then PUBACK" in [line for line, _ in stops[0].lines]


def test_a_reading_that_dies_on_its_way_ends_where_it_died():
    trace = a_trace(ended="dead", stored_ms=None, live_ms=None)
    assert [stop.name for stop in stops_of(trace)] == ["ingest", "judge"]
    html = follow([{"device_id": "site41"}], "site41", trace, (0, 1), waiting=False)
    assert "ended in judge as dead" in text_of(html)


# What comes from outside


def test_hostile_names_and_payloads_stay_text():
    nodes = [a_node("judge", dead={HOSTILE: 1}, out={"ok": 1, "dead": 1}, state={HOSTILE: 1})]
    answer = an_answer(nodes, graph=HOSTILE, journal={"problem": HOSTILE}, store={"waiting": HOSTILE})
    answer["store"]["waiting_since"] = iso(NOW)
    item = an_item(
        device_id=HOSTILE,
        text=HOSTILE,
        kind="message",
        removed=[{"field": HOSTILE, "value": HOSTILE, "reason": HOSTILE}],
    )
    letters = dead_letters(
        HOSTILE, [a_letter(1, device_id=HOSTILE, detail=HOSTILE)], {1: HOSTILE}, {1: HOSTILE}, NOW
    )
    drawn = [
        pipeline_page(answer, NOW, None, (sample_of(answer),), NOW, "judge", "start", False),
        pipeline_page(answer, NOW, None, (), NOW, "judge", "start", True, letters),
        selected_node(a_detail([item], summary=HOSTILE), {HOSTILE: 1}, letters, held=False, problem=HOSTILE),
        follow(
            [{"device_id": HOSTILE}],
            HOSTILE,
            a_trace(device_id=HOSTILE, steps=[{**item, "ms": 1.0}]),
            (0, 1),
            False,
            HOSTILE,
        ),
    ]
    assert [html for html in drawn if "<img" in html] == []
    assert all("&lt;img" in html for html in drawn)
