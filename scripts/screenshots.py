"""Take the pictures of README and docs: the pages of a site with the demo, as Chromium draws them.

    .venv/bin/python scripts/screenshots.py                                       a site of its own; 3 minutes
    .venv/bin/python scripts/screenshots.py --url http://127.0.0.1:5006           a site that runs and has the demo
    .venv/bin/python scripts/screenshots.py --url … --device site1 --other site2  other devices

Its own site loads the demo and is then started anew, so that the pipeline is seen at its everyday pace, with
thirty more simulated devices and a message that cannot be read. A picture is taken once everything on it is
loaded and drawn; what does not come in time is named. Exit code 2: no Chromium, or a site that does not answer.
"""

import argparse
import io
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

sys.path.insert(0, str(Path(__file__).parent.parent))

from PIL import Image
from playwright.sync_api import Browser, Error, Page, sync_playwright

from tests.cli.heatpump import Running, Up

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
AnyRunning = TypeVar("AnyRunning", bound=Running)
LARGEST = 200_000
"""What a picture may take, so that a clone stays small. [bytes]"""

PATIENCE_S, POLL_MS = 100, 50
CROWD = ["--device-id", "house1", "--devices", "30", "--interval", "2", "--seed", "1"]


class NotDrawn(Exception):
    """A page that does not become what its picture shows, and what it shows instead."""


class Shot(NamedTuple):
    """One picture. path: with {device} and {other}; theme: of the system; drawn: what must be true in the page."""

    name: str
    path: str
    theme: str
    drawn: str
    phone: bool = False


IN_EVERY_PAGE = """
  window.roots = (from) =>
    [from, ...[...from.querySelectorAll('*')].flatMap((each) => each.shadowRoot ? roots(each.shadowRoot) : [])];
  window.found = (selector) => roots(document).flatMap((root) => [...root.querySelectorAll(selector)]);
  window.idle = () => document.fonts.status === 'loaded' && Bokeh.documents.every((each) => each.is_idle);
"""
"""Parts of a page lie in shadow roots, which a plain selector does not enter."""

HEADINGS = "() => found('h1, #sentence').map((each) => each.textContent.trim()).join('; ')"
BEGUN = "() => typeof Bokeh !== 'undefined' && Bokeh.documents.length > 0"
OVERVIEW_DRAWN = """() => {
  const drawn = [...Bokeh.documents[0]._all_models.values()].some((model) => model.type === 'GlyphRenderer'
    && [...(model.data_source.data.value ?? [])].filter(Number.isFinite).length > 20);
  const whole = found('#sentence').length && found('#kpi .figure b').length === 4 && !found('.bone').length;
  return drawn && whole && idle();
}"""
PIPELINE_DRAWN = """() => {
  const says = (selector) => found(selector).map((part) => part.textContent).join(' ');
  const head = says('#pipeline-head');
  return says('#closes').includes('closes') && found('.node').length
    && /in the last\\s\\d+\\s(min|h)/.test(head) && idle();
}"""
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
OVERVIEW, OTHER, PIPELINE = "/?device={device}&span=24h", "/?device={other}&span=6h", "/pipeline"

SHOTS = (
    Shot("overview-light", OVERVIEW, "light", OVERVIEW_DRAWN),
    Shot("overview-dark", OVERVIEW, "dark", OVERVIEW_DRAWN),
    Shot("overview-phone", OTHER, "light", OVERVIEW_DRAWN, phone=True),
    Shot("pipeline-light", PIPELINE, "light", PIPELINE_DRAWN),
    Shot("pipeline-dark", PIPELINE, "dark", PIPELINE_DRAWN),
)


def main() -> int:
    """Take all pictures; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="of pages that run; else a site of its own is started")
    parser.add_argument("--into", type=Path, default=PICTURES, help="folder for the pictures; docs/pictures")
    parser.add_argument("--device", default="demo-bristol", help="the device of the overview")
    parser.add_argument("--other", default="demo-kassel", help="the device on the phone")
    parser.add_argument("--only", default="", help="only pictures whose name begins so")
    given = parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        return _refuse(f"no browser: none of {', '.join(BROWSERS)} is on the PATH; apt-get install chromium")
    devices = {"device": given.device, "other": given.other}
    shots = [shot for shot in SHOTS if shot.name.startswith(given.only)]
    if given.url and not _answers(given.url):
        return _refuse(f"{given.url} does not answer as our pages do: is `./scripts/up` running there?")
    given.into.mkdir(parents=True, exist_ok=True)
    with _site(given.url) as stages, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for path_begins, url in stages:
            for shot in [shot for shot in shots if shot.path.startswith(path_begins)]:
                file = given.into / f"{shot.name}.png"
                try:
                    size = _take(chromium, url.rstrip("/") + shot.path.format(**devices), shot, file)
                except (NotDrawn, Error) as error:
                    print(f"screenshots: {shot.name}: {error}", file=sys.stderr)
                    return 1
                print(f"{file}: {size // 1000} kB")
        chromium.close()
    return 0


def _refuse(sentence: str) -> int:
    print(f"screenshots: {sentence}", file=sys.stderr)
    return 2


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url.rstrip('/')}/health", timeout=5) as answer:
            return b'"running"' in answer.read()
    except (OSError, ValueError):
        return False


@contextmanager
def _site(url: str | None) -> Iterator[Iterator[tuple[str, str]]]:
    """Give how paths begin and where to look at them; on a site of its own, where there is no url."""
    with tempfile.TemporaryDirectory(prefix="screenshots-") as name, ExitStack() as stack:
        yield iter([("/", url)]) if url else _own_site(Path(name) / "data", stack)


def _own_site(data: Path, stack: ExitStack) -> Iterator[tuple[str, str]]:
    """Give the overview as the demo has just loaded, then the pipeline of the same site at its everyday pace."""
    print("loading the demo: about a minute")
    up = _started(stack, Up(data, "--demo"))
    up.until_it_says("^demo: everything is loaded", 300)
    yield "/?", f"http://127.0.0.1:{up.panel_port}"
    up.end()
    up = _started(stack, Up(data))
    up.until_it_says("^demo is ready", 120)
    simulator = [sys.executable, str(ROOT / "scripts" / "simulate_device.py"), *CROWD]
    _started(stack, Running([*simulator, "--port", str(up.mqtt_port)], data.with_name("crowd.log")))
    _send_rubbish(up.mqtt_port)
    yield "/pipeline", f"http://127.0.0.1:{up.panel_port}"


def _started(stack: ExitStack, running: AnyRunning) -> AnyRunning:
    stack.callback(running.clean_up)
    return running


def _send_rubbish(port: int) -> None:
    """Send a message that cannot be read, as a device with a full buffer does."""
    import paho.mqtt.publish as publish

    publish.single("heatpump/house7/data", '{"temperature":{"inlet":31.5', 1, port=port)


def _take(chromium: Browser, address: str, shot: Shot, file: Path) -> int:
    """Take one picture; how large it is. [bytes] Raises NotDrawn, playwright's Error."""
    context = chromium.new_context(
        viewport=PHONE if shot.phone else DESKTOP,  # type: ignore[arg-type]
        device_scale_factor=2 if shot.phone else 1,
        color_scheme=shot.theme,  # type: ignore[arg-type]
        reduced_motion="reduce",
    )
    context.add_init_script(IN_EVERY_PAGE)
    page: Page = context.new_page()
    page.goto(address)
    _wait(page, BEGUN)
    _wait(page, shot.drawn)
    if not shot.phone:  # as tall as the page is, since the navigation is as tall as the window
        page.set_viewport_size({**DESKTOP, "height": page.evaluate("document.documentElement.scrollHeight")})
        _wait(page, shot.drawn)
    taken = page.screenshot()
    context.close()
    return _shrink(taken, file)


def _wait(page: Page, condition: str) -> None:
    """Wait until a page says yes. Not by wait_for_function, which our content policy forbids. Raises NotDrawn."""
    deadline = time.monotonic() + PATIENCE_S
    while not page.evaluate(condition):
        if time.monotonic() > deadline:
            raise NotDrawn(f"not drawn within {PATIENCE_S} s: {page.evaluate(HEADINGS)}")
        page.wait_for_timeout(POLL_MS)


def _shrink(taken: bytes, file: Path) -> int:
    """Write a picture with as many colours as fit in LARGEST bytes; how large it is. [bytes]"""
    picture = Image.open(io.BytesIO(taken)).convert("RGB")
    for colours in (256, 128, 64, 32):
        packed = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
        if packed.tell() <= LARGEST:
            break
    file.write_bytes(packed.getvalue())
    return packed.tell()


if __name__ == "__main__":
    sys.exit(main())
