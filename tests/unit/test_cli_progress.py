"""The progress bar: what it shows, where it does, and that nothing is left of it."""

import io
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from rich.console import Console

from planner.cli.bar import Bar
from planner.cli.progress import progress_bar
from planner.progress import Count, Counting, Stage

WIDTH = 80


class Terminal(io.StringIO):
    """A stream that somebody watches."""

    def isatty(self):
        return True

    def screen(self):
        """Lines as they stand after all that was written; fails where one is too long."""
        rows, at = [""], 0
        for part in re.split(r"(\x1b\[[0-9;?]*[a-zA-Z]|\r|\n)", self.getvalue()):
            if part == "\n":
                at += 1
                rows += [""] * (at + 1 - len(rows))
            elif part == "\x1b[1A":
                at -= 1
            elif part == "\x1b[2K":
                rows[at] = ""
            elif part and part != "\r" and not part.startswith("\x1b"):
                assert len(part) <= WIDTH
                rows[at] += part
                assert len(rows[at]) <= WIDTH
        return [row.rstrip() for row in rows]


@pytest.fixture
def now():
    return SimpleNamespace(s=0.0)


@pytest.fixture
def terminal():
    return Terminal()


@pytest.fixture
def bar(terminal, now):
    console = Console(file=terminal, force_terminal=True, width=WIDTH, color_system=None)
    return Bar(console, lambda: now.s)


def shown(bar, terminal):
    """The lines that a reader sees now."""
    terminal.seek(0)
    terminal.truncate()
    bar.console.print(bar.get_renderable())
    return [row for row in terminal.screen() if row]


def test_a_count_has_a_bar_and_the_time_that_is_left(bar, terminal, now):
    bar.tell(Stage("simulate", Count(0, 12, "candidates")))
    now.s = 6.0
    bar.tell(Stage("simulate", Count(3, 12, "candidates")))
    # Three in 6 s: nine more in 18 s, of which 4 are over.
    now.s = 10.0
    (line,) = shown(bar, terminal)
    assert "simulate" in line
    assert "3 of 12 candidates" in line
    assert "14 s left" in line
    assert "0:00:10" in line
    assert 0 < line.count("━") < WIDTH


def test_a_search_shows_its_gap_and_what_was_done_before(bar, terminal, now):
    bar.tell(Stage("simulate", Count(0, 12, "candidates")))
    now.s = 24.0
    bar.tell(Stage("assemble"))
    now.s = 24.2
    bar.tell(Stage("solve"))
    bar.tell(Stage("solve", gap_frac=0.0123))
    now.s = 31.2
    done, line = shown(bar, terminal)
    assert done == "done: simulate 24 s"  # 0.2 s of assembling are no news
    assert "gap 1.23 %" in line
    assert "0:00:07" in line
    assert " left" not in line


def test_time_left_is_not_guessed_from_other_work(bar, terminal, now):
    now.s = 1.0
    bar.tell(Stage("simulate", Count(0, 4, "short runs")))
    now.s = 2.0
    bar.tell(Stage("simulate", Count(4, 4, "short runs")))
    now.s = 12.0
    bar.tell(Stage("simulate", Count(1, 3, "candidates")))
    assert " left" not in shown(bar, terminal)[-1]
    now.s = 22.0
    bar.tell(Stage("simulate", Count(2, 3, "candidates")))
    # One in the 10 s since these began to be counted: one more in 10 s.
    assert "10 s left" in shown(bar, terminal)[-1]


def test_a_round_is_named_and_long_lines_end_at_the_edge(bar, terminal, now):
    for number in range(12):
        bar.tell(Stage(f"a long step of number {number}"))
        now.s += 10.0
    hours = Count(1234, 5678, "hours with failures")
    bar.tell(Stage("find rates that hold", hours, within=Count(2, 4, "round")))
    done, line = shown(bar, terminal)
    assert done.startswith("round 2 of 4: a long step of number 0 10 s")
    assert len(done) == WIDTH
    assert "1,234 of 5,678 hours with failures" in line


def test_nothing_is_left_of_it(bar, terminal, capsys):
    with bar:
        for number in range(5):
            bar.tell(Stage("simulate", Count(number, 5, "candidates")))
            bar.refresh()
            bar.tell(Stage("solve", gap_frac=0.5))
            bar.refresh()
    assert not any(terminal.screen())
    assert capsys.readouterr() == ("", "")


def test_only_who_watches_is_told(monkeypatch, terminal):
    with progress_bar(quiet=False) as tell:
        assert tell is None  # the tests' standard error is no terminal
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_bar(quiet=True) as tell:
        assert tell is None
    assert terminal.getvalue() == ""
    with progress_bar(quiet=False) as tell:
        tell(Stage("solve"))
    assert terminal.getvalue()


def test_what_threads_count_arrives_in_order():
    seen = []
    through = Counting("simulate", 200, "candidates", seen.append)
    with ThreadPoolExecutor(8) as threads:
        for _ in range(200):
            threads.submit(through)
    assert [stage.count.done for stage in seen] == list(range(201))
