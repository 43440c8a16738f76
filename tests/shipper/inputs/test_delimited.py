import pytest

from shipper.inputs.delimited import Delimited, Syslog

STEPS = (1, 2, 3, 1000)


@pytest.mark.parametrize("step", STEPS)
def test_frames_end_in_their_delimiter_wherever_reads_cut_them(step: int) -> None:
    frames = Delimited(b"\0", 10)
    data = b"one\0\0two\0" + b"x" * 25 + b"\0end\0rest"
    found = [frame for start in range(0, len(data), step) for frame in frames.feed(data[start : start + step])]
    assert found[:3] == [(b"one", False), (b"", False), (b"two", False)]
    assert b"".join(frame for frame, _ in found[3:-1]) == b"x" * 25
    assert max(len(frame) for frame, _ in found) == 10
    assert found[-1] == (b"end", False)
    assert frames.rest() == b"rest"


@pytest.mark.parametrize("step", STEPS)
def test_syslog_frames_are_counted_or_a_line_each(step: int) -> None:
    frames = Syslog(20)
    data = b"<1>line\n7 <2>a\nb\n<3>line two\n0 no count\n12345678901 none\n3 <4>45 " + b"y" * 45 + b"<5>end\n6 <6>"
    found = [frame for start in range(0, len(data), step) for frame in frames.feed(data[start : start + step])]
    assert found == [
        (b"<1>line", False), (b"<2>a\nb", False), (b"<3>line two", False), (b"0 no count", False),
        (b"12345678901 none", False), (b"<4>", False), (b"y" * 20, True), (b"y" * 20, True), (b"y" * 5, False),
        (b"<5>end", False)]  # fmt: skip
    assert frames.rest().endswith(b"<6>")


def test_a_line_longer_than_may_be_comes_in_pieces() -> None:
    found = list(Syslog(4).feed(b"<1>a9 bcdefgh\n<2>\n"))
    assert found == [(b"<1>a", True), (b"9 bc", True), (b"defg", True), (b"h", False), (b"<2>", False)]
