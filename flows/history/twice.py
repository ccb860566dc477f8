"""The hour that a clock shows twice, in autumn: the order of the rows tells which time is of which pass."""

from itertools import pairwise

import numpy as np

from flows.model.table import Times


class Twice:
    """Settles the times of a file's rows, block by block; the rows may come oldest or newest first."""

    def __init__(self) -> None:
        self._last = np.empty((2, 0), np.int64)  # the row before a block: its first instant, and the chosen one
        self._is_last_twice = np.empty(0, bool)
        self._sure = self._likely = 0  # rows at which times rise less those at which they fall

    def settle(self, first: Times, second: Times) -> Times:
        """Choose an instant for each row. [ms since 1970, UTC]

        first, second : the instants at which a clock shows the row's time; the same where it does so once.
        """
        at, is_twice = first.copy(), second > first
        self._note(np.append(self._last[0], first), np.append(self._is_last_twice, is_twice))
        places = np.flatnonzero(is_twice)
        for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if len(places) else ():
            start, end = int(run[0]), int(run[-1]) + 1
            before = at[start - 1 : start] if start else self._last[1]
            at[start:end] = self._run(first[start:end], second[start:end], before, at[end : end + 1])
        if len(at):
            self._last, self._is_last_twice = np.array([first[-1:], at[-1:]]), is_twice[-1:]
        return at

    def _note(self, first: Times, is_twice: Times) -> None:
        """Note whether times rise or fall from row to row; between two that are shown twice that is a guess."""
        steps = np.sign(np.diff(first))
        self._sure += int(steps[~(is_twice[1:] & is_twice[:-1])].sum())
        self._likely += int(steps.sum())

    def _run(self, first: Times, second: Times, before: Times, after: Times) -> list[int]:
        """Settle neighbouring rows whose times are all shown twice, between one before and after, or none."""
        sign = -1 if (self._sure or self._likely) < 0 else 1
        sooner, later = (first, second) if sign > 0 else (-second, -first)
        ends = [sign * int(at[0]) if len(at) else None for at in (before, after)]
        return [sign * at for at in _likeliest(sooner.tolist(), later.tolist(), *ends)]


def _likeliest(sooner: list[int], later: list[int], before: int | None, after: int | None) -> list[int]:
    """Choose between two instants for each row so that the steps from row to row are the likeliest of all.

    Steps forward shorter than the distance of the passes always win: there is one such choice at most. A row out
    of order harms none after it, since all of them count. What stays open is of the pass that comes sooner.
    """
    gap = later[0] - sooner[0]

    def unlikely(step: int) -> int:
        """Rises with the step, and more for one back; what is hours away says nothing, such as a wrong clock's."""
        return min(step * step + (gap * gap if step < 0 else 0), 9 * gap * gap)

    both = list(zip(sooner, later, strict=True))
    sums = [0 if before is None else unlikely(at - before) for at in both[0]]
    ways: list[list[bool]] = []
    for left, right in pairwise(both):
        ends = [[total + unlikely(at - was) for total, was in zip(sums, left, strict=True)] for at in right]
        # Of two equal ways, the one that changes to the later pass as soon as it can: then no value of the
        # sooner one is overwritten by one of the later.
        ways.append([ends[0][1] < ends[0][0], ends[1][1] <= ends[1][0]])
        sums = [min(end) for end in ends]
    if after is not None:
        sums = [total + unlikely(after - at) for total, at in zip(sums, both[-1], strict=True)]
    choice = sums[1] < sums[0]
    chosen = [both[-1][choice]]
    for way, pair in zip(reversed(ways), reversed(both[:-1]), strict=True):
        choice = way[choice]
        chosen.append(pair[choice])
    return chosen[::-1]
