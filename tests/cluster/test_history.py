"""The referee of the cluster sees what cannot be right, and nothing else."""

from __future__ import annotations

import pytest

from tests.cluster.history import Got, History, Span


def got(
    asked: float, answered: float, *, receipt: str = "r", body: str = "x g 0", name: str = "m"
) -> Got:
    return Got(Span(asked, answered), body, name, receipt, 10)


def history(*gots: Got, sent: set[str] | None = None, **deleted: tuple[float, float]) -> History:
    found = History()
    found.acknowledged |= {one.body for one in gots} if sent is None else sent
    found.attempted |= {one.body for one in gots}
    found.got += gots
    for receipt, (asked, answered) in deleted.items():
        found.deleted[receipt] = Span(asked, answered)
        found.let_go[receipt] = asked
    return found


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        pytest.param(history(), [], id="nothing"),
        pytest.param(history(got(0, 1), r=(2, 3)), [], id="once"),
        pytest.param(history(sent={"x g 0"}), ["never received"], id="lost"),
        pytest.param(history(got(0, 1), got(2, 3, receipt="s")), ["two at once"], id="held twice"),
        pytest.param(
            history(got(0, 1), got(0.5, 3, receipt="s")), [], id="perhaps before the other"
        ),
        pytest.param(history(got(0, 1), got(5, 11, receipt="s")), [], id="perhaps after its time"),
        pytest.param(
            history(got(0, 1), got(2, 5, receipt="s"), r=(4, 6)), [], id="perhaps just let go"
        ),
        pytest.param(
            history(got(0, 1), got(20, 21, receipt="s"), r=(2, 3)), ["came back"], id="came back"
        ),
        pytest.param(
            history(got(0, 1), got(2.5, 21, receipt="s"), r=(2, 3)), [], id="perhaps on its way"
        ),
        pytest.param(
            history(got(2, 3, body="x g 0"), got(0, 1, body="x g 1", name="n")),
            ["1 was received before 0"],
            id="out of order",
        ),
        pytest.param(
            history(got(0.5, 3, body="x g 0"), got(0, 1, body="x g 1", name="n")),
            [],
            id="perhaps in order",
        ),
        pytest.param(history(got(0, 1), got(2, 3, name="n")), ["is 2 messages"], id="a duplicate"),
    ],
)
def test_what_cannot_be_right_is_found(seen: History, words: list[str]) -> None:
    found = seen.violations(ordered=True)
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))


def test_what_nobody_sent_is_found() -> None:
    seen = history(got(0, 1))
    seen.attempted.clear()
    assert seen.violations(ordered=False) == ["x g 0 was received and never sent"]
