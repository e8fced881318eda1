"""The progress bar: a line drawn again on a terminal, few plain lines elsewhere."""

import io
from types import SimpleNamespace

import pytest

from bulklmm_dask.progress import ProgressBar
from bulklmm_dask.text import counted, duration, quantity, storage


class Terminal(io.StringIO):
    def isatty(self):
        return True


def report(done, seconds, total=10, each=1_000_000):
    return SimpleNamespace(
        done=done, total=total, tests_done=done * each, tests_total=total * each, seconds=seconds
    )


def test_a_terminal_gets_one_line_with_rate_and_time_left():
    stream = Terminal()
    with ProgressBar(stream) as bar:
        bar(report(0, 0.0))
        bar(report(5, 10.0))
    *_, last = stream.getvalue().split("\r")
    assert (
        last
        == "[############------------]  50%, 5/10 blocks, 500 thousand tests/s, 0:10 left\x1b[K\n"
    )
    assert stream.getvalue().count("\n") == 1


def test_a_file_gets_few_plain_lines():
    stream = io.StringIO()
    with ProgressBar(stream) as bar:
        for done in range(11):
            bar(report(done, done * 4.0))
    lines = stream.getvalue().splitlines()
    assert [line.split(",")[1].strip() for line in lines] == [
        "0/10 blocks",
        "3/10 blocks",
        "6/10 blocks",
        "9/10 blocks",
        "10/10 blocks",
    ]
    assert lines[-1].endswith("done in 0:40")


def test_blocks_of_an_earlier_run_do_not_count_for_the_rate():
    stream = io.StringIO()
    bar = ProgressBar(stream)
    bar(report(8, 0.5))
    bar(report(9, 100.5))
    assert "10 thousand tests/s, 1:40 left" in stream.getvalue()


@pytest.mark.parametrize(
    ("number", "text"),
    [(12, "12"), (1234, "1.23 thousand"), (42_505_920, "42.5 million"), (2.4e9, "2.4 billion")],
)
def test_quantities(number, text):
    assert quantity(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0:00"), (59.6, "1:00"), (75, "1:15"), (3725, "1:02:05")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_counts_and_bytes():
    assert [counted(n, "trait") for n in (0, 1, 5806)] == ["0 traits", "1 trait", "5,806 traits"]
    assert [storage(n) for n in (12, 4096, 812e6)] == ["12 bytes", "4.1 kB", "812 MB"]
