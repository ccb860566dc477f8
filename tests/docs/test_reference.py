"""The reference pages say what the code says, and no link leads nowhere."""

import ast
import json
import re
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest

from flows.errors import OutsideRetention, RowRefused
from flows.model.dead_letter import REASONS
from flows.model.quantities import QUANTITIES
from flows.model.rules import load_rules

ROOT = Path(__file__).parent.parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)|(?:src|srcset)=\"([^\"]+)\"")
LARGEST_PICTURE = 200_000
POSITION_OF_REASON = {"Refused": 0, "dead_reading": 1, "DeadLetter": 4, "refused_again": 2, "not_stored": 1}
"""Calls that give a dead letter its reason, and which argument is the word."""


def test_every_quantity_has_its_row():
    text = (ROOT / "docs/reference/quantities.md").read_text()
    for quantity in QUANTITIES:
        path = ".".join(quantity.path) or "–"
        assert f"| `{quantity.name}` | {path} | {quantity.unit or '–'} |" in text


def test_every_shipped_rule_has_its_row_with_its_thresholds():
    text = (ROOT / "docs/reference/alerts.md").read_text()
    for rule in load_rules(ROOT / "flows/graphs/alert_rules.toml"):
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {rule.alert_type} |")]
        for threshold in (rule.warning, rule.critical):
            assert f"{'≥' if rule.direction == 'high' else '≤'} {threshold:g} " in row
        assert f"{rule.clear_by:g} " in row


def test_every_reason_of_a_dead_letter_or_a_dropped_value_has_its_row():
    text = (ROOT / "docs/reference/mqtt.md").read_text()
    reasons = set()
    for path in sorted((ROOT / "flows").rglob("*.py")):
        source = path.read_text()
        if not any(f"{name}(" in source for name in POSITION_OF_REASON):
            continue  # reading all of our Python takes a second
        for node in ast.walk(ast.parse(source)):
            position = POSITION_OF_REASON.get(node.func.id) if _is_plain_call(node) else None
            reason = getattr(node.args[position], "value", None) if position is not None else None
            if isinstance(reason, str):  # the command port's refusals are HTTP statuses
                reasons.add(reason)
    reasons |= {RowRefused.reason, OutsideRetention.reason}
    assert reasons == set(REASONS)
    reasons |= set(re.findall(r'removed\["(.+?)"\]', (ROOT / "flows/nodes/validate.py").read_text()))
    assert not [reason for reason in reasons if f"| `{reason}` |" not in text]


def test_the_full_reading_of_the_mqtt_page_holds_every_quantity_that_can_be_sent():
    (full,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs/reference/mqtt.md").read_text(), re.DOTALL)
    for quantity in QUANTITIES:
        if quantity.path:
            assert reduce(getitem, quantity.path, json.loads(full)) is not None, quantity.name


def _is_plain_call(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page):
    for target in targets(page):
        assert target.exists(), f"{page.name} links to {target}"


def targets(page):
    """What a page links to or shows."""
    return {(page.parent / (link or picture)).resolve() for link, picture in LINK.findall(page.read_text())}


def test_the_index_leads_to_every_document():
    index = ROOT / "docs" / "README.md"
    documents = set((ROOT / "docs").rglob("*.md")) - {index}
    assert documents - targets(index) == set()


def test_every_picture_is_shown_somewhere_and_small():
    pictures = set((ROOT / "docs" / "pictures").iterdir())
    assert pictures and pictures <= set().union(*map(targets, PAGES))
    assert [picture.name for picture in pictures if picture.stat().st_size > LARGEST_PICTURE] == []
