"""Kill -9 at moments drawn before the run, while messages go out at a steady rate."""

import random
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from flows.proof.site import Publisher, Sendable, Site


class Striking(Protocol):
    """Who is asked, again and again, whether something is due."""

    def strike(self) -> None:
        """Do what is due."""


class Kills:
    """Kills flow and api; of three the flow two. told: of each, when since the beginning [s] and what."""

    def __init__(
        self, seed: str, seconds: float, count: int, site: Site, told: Callable[[float, str], None]
    ) -> None:
        """Draw the moments. seconds: of the run. [s]"""
        rng = random.Random(f"{seed}/kills")
        moments = sorted(rng.uniform(1, max(seconds - 1, 2)) for _ in range(count))
        names = [("flow", "api", "flow")[number % 3] for number in range(count)]
        self._due = list(zip(moments, rng.sample(names, len(names)), strict=True))
        self._site, self._told = site, told
        self._began = time.monotonic()
        self.killed = {"flow": 0, "api": 0, "broker": 0}

    def strike(self) -> None:
        """Kill what is due; one that is just being started again is killed as soon as it runs."""
        while self._due and time.monotonic() - self._began >= self._due[0][0]:
            name = self._due[0][1]
            if not self._site.children[name].kill():
                return
            self._due.pop(0)
            self.note(name)

    def note(self, name: str) -> None:
        """Count one."""
        self.killed[name] += 1
        self._told(time.monotonic() - self._began, name)


def send(publisher: Publisher, messages: Iterable[Sendable], rate: float, kills: Striking) -> None:
    """Send at a steady rate, killing what is due. rate: [1/s]"""
    began = time.monotonic()
    for number, message in enumerate(messages):
        while (ahead := number / rate - (time.monotonic() - began)) > 0:
            time.sleep(min(ahead, 0.01))
        kills.strike()
        publisher.send(message)
