"""Whether a page can be used by everybody, as axe sees it."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

LOOKS = 10
"""What waits for another span, such as a phone's, is faded meanwhile: what is in the way only once is not."""


def complaints(page: Page) -> list[tuple[str, list[str]]]:
    """What stands in somebody's way, however often it is looked at: each rule with its elements."""
    found: list[tuple[str, list[str]]] = []
    for _ in range(LOOKS):
        violations = Axe().run(page).response["violations"]
        found = [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in violations]
        if not found:
            break
        page.wait_for_timeout(1000)
    return found
