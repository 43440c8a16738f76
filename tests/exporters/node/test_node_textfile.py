"""Files that others write: good ones pass through, a bad one costs itself and is told once."""

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from exporters.exposition import Family, render
from exporters.node import Host
from exporters.node.promtext import Malformed, parse
from exporters.node.textfile import TextFile

Put = Callable[[str, str], None]
Read = Callable[[Iterable[Family]], dict[str, dict[str, float]]]


@pytest.fixture
def textfile(host: Host, tmp_path: Path) -> TextFile:
    (tmp_path / "text").mkdir()
    return TextFile(replace(host, textfiles=(str(tmp_path / "text"),)))


def test_families_keep_type_help_labels_and_names(textfile: TextFile, put: Put) -> None:
    put(
        "text/a.prom",
        "# HELP backup_age_seconds Age of the last \\\\ backup\\nin seconds.\n# TYPE backup_age_seconds gauge\n"
        'backup_age_seconds{ job = "db", note="a \\"b\\" \\\\ c" , } 1.5e3\n'
        "# TYPE jobs counter\njobs 4\n# a comment\n\nplain NaN\n"
        "# TYPE took histogram\n"
        'took_bucket{le="1"} 1\ntook_bucket{le="+Inf"} 2\ntook_sum 3\ntook_count 2\n',
    )
    text = render(textfile.collect()).decode()
    assert "# HELP backup_age_seconds Age of the last \\\\ backup\\nin seconds.\n" in text
    assert 'backup_age_seconds{job="db",note="a \\"b\\" \\\\ c"} 1.5e3\n' in text
    assert "# TYPE jobs counter\njobs 4\n" in text
    assert "# TYPE plain untyped\nplain NaN\n" in text
    assert "# HELP plain Metric read from " in text
    assert '# TYPE took histogram\ntook_bucket{le="1"} 1\ntook_bucket{le="+Inf"} 2\ntook_sum 3\ntook_count 2\n' in text


def test_mtimes_and_no_error(textfile: TextFile, put: Put, tmp_path: Path, samples: Read) -> None:
    put("text/a.prom", "a 1\n")
    put("text/ignored.txt", "garbage\n")
    os.utime(tmp_path / "text/a.prom", (1000, 1000.5))
    found = samples(textfile.collect())
    assert found["node_textfile_mtime_seconds"] == {f'{{file="{tmp_path}/text/a.prom"}}': 1000.5}
    assert found["node_textfile_scrape_error"] == {"": 0}
    assert found["a"] == {"": 1}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a 1", "not finished"),
        ("a 1 1700000000000\n", "timestamp"),
        ("a one\n", "no number"),
        ("a 1_0\n", "no number"),
        ("a ١\n", "no number"),
        ("a\n", "no number"),
        ('a{b="c} 1\n', "labels"),
        ('a{b="c",b="d"} 1\n', "twice"),
        ('a{b="1",c="2"} 1\na{c="2",b="1"} 2\n', "twice"),
        ("1a 1\n", "no metric name"),
        ("# TYPE a meter\na 1\n", "TYPE"),
        ("a 1\n# TYPE a gauge\n", "TYPE"),
        ("<html>\n", "no metric name"),
    ],
)
def test_what_prometheus_would_refuse(text: str, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        parse(text)


def test_a_bad_file_costs_itself_and_is_told_once(
    textfile: TextFile, put: Put, tmp_path: Path, samples: Read, caplog: pytest.LogCaptureFixture
) -> None:
    put("text/bad.prom", "a 1\nb{ 2\n")
    put("text/good.prom", "good 1\n")
    (tmp_path / "text/bytes.prom").write_bytes(b'c{d="\xff"} 1\n')
    (tmp_path / "text/folder.prom").mkdir()
    os.mkfifo(tmp_path / "text/pipe.prom")
    (tmp_path / "text/gone.prom").symlink_to(tmp_path / "nowhere")

    found = samples(textfile.collect())
    samples(textfile.collect())

    assert found["good"] == {"": 1}
    assert "a" not in found
    assert found["node_textfile_scrape_error"] == {"": 1}
    assert set(found["node_textfile_mtime_seconds"]) == {f'{{file="{tmp_path}/text/good.prom"}}'}
    told = sorted(record.getMessage().partition(" is left out: ")[0].rpartition("/")[2] for record in caplog.records)
    assert told == ["bad.prom", "bytes.prom", "folder.prom", "gone.prom", "pipe.prom"]

    put("text/bad.prom", "a 1\n")
    for name in ("bytes", "gone", "pipe"):
        (tmp_path / f"text/{name}.prom").unlink()
    (tmp_path / "text/folder.prom").rmdir()
    found = samples(textfile.collect())
    assert found["a"] == {"": 1}
    assert found["node_textfile_scrape_error"] == {"": 0}


def test_the_same_sample_in_two_files_is_told_once(textfile: TextFile, put: Put, samples: Read) -> None:
    put("text/a.prom", '# TYPE x gauge\nx{of="both"} 1\nx{of="a"} 1\n')
    put("text/b.prom", '# TYPE x gauge\nx{of="both"} 2\nx{of="b"} 2\n')
    put("text/c.prom", "# TYPE x counter\nx 9\n# TYPE y gauge\ny 9\n")

    found = samples(textfile.collect())

    assert found["x"] == {'{of="both"}': 1, '{of="a"}': 1, '{of="b"}': 2}
    assert found["y"] == {"": 9}
    assert found["node_textfile_scrape_error"] == {"": 1}


def test_a_file_that_changed_or_went_is_seen(textfile: TextFile, put: Put, tmp_path: Path, samples: Read) -> None:
    put("text/a.prom", "a 1\n")
    assert samples(textfile.collect())["a"] == {"": 1}
    put("text/new", "a 2\n")
    (tmp_path / "text/new").replace(tmp_path / "text/a.prom")  # as writers should
    assert samples(textfile.collect())["a"] == {"": 2}
    (tmp_path / "text/a.prom").unlink()
    assert "a" not in samples(textfile.collect())


def test_a_folder_that_is_not_there_is_an_error_and_patterns_match(
    host: Host, put: Put, tmp_path: Path, samples: Read
) -> None:
    missing = TextFile(replace(host, textfiles=(str(tmp_path / "nowhere"),)))
    assert samples(missing.collect())["node_textfile_scrape_error"] == {"": 1}
    put("one/a.prom", "a 1\n")
    put("two/b.prom", "b 1\n")
    found = samples(TextFile(replace(host, textfiles=(str(tmp_path / "*"),))).collect())
    assert found["a"] == found["b"] == {"": 1}
