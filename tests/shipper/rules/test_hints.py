"""Filebeat's hints, as people have them on their containers, and what each means here."""

from pathlib import Path

import pytest

from shipper.rules.hints import _FILESETS, _JSON_MEANT, _KNOWN, translate
from shipper.rules.table import LABELS

KNOWN = {label.name for label in LABELS}


def hints(**said: str) -> dict[str, str]:
    return {"co.elastic.logs/" + name.replace("__", "."): text for name, text in said.items()}


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ({"enabled": "False"}, {"towline.enable": "false"}),
        ({"disable": "true"}, {"towline.enable": "false"}),
        ({"multiline__pattern": r"^\[", "multiline__negate": "true", "multiline__match": "after"},
         {"towline.multiline.start": r"^\["}),
        ({"multiline__type": "pattern", "multiline__pattern": r"^\s", "multiline__negate": "false",
          "multiline__timeout": "1500ms"},
         {"towline.multiline.continue": r"^\s", "towline.multiline.wait": "1.5"}),
        ({"multiline__pattern": r"^\s", "multiline__timeout": "1m"},
         {"towline.multiline.continue": r"^\s", "towline.multiline.wait": "60"}),
        ({"json__keys_under_root": "true", "json__add_error_key": "true", "json__message_key": "msg"},
         {"towline.parse": "json"}),
        ({"module": "nginx", "fileset__stdout": "access", "fileset__stderr": "error"}, {"towline.parse": "nginx"}),
        ({"module": "postgresql", "fileset": "log"}, {"towline.parse": "postgresql"}),
        ({"processors__1__dissect__tokenizer": "%{a} %{b}", "processors__1__dissect__target_prefix": ""},
         {"towline.parse": "dissect", "towline.parse.pattern": "%{a} %{b}"}),
        ({"processors__decode_json_fields__fields": '["message"]'}, {"towline.parse": "json"}),
        ({"include_lines": "^ERR, ^WARN"}, {"towline.keep.include_lines": "(?:^ERR)|(?:^WARN)"}),
        ({"exclude_lines": "^DBG"}, {"towline.drop.exclude_lines": "^DBG"}),
        ({"processors__2__drop_event__when__contains__message": "a.b"},
         {"towline.drop.processors_2_drop_event": r"a\.b"}),
    ],
)  # fmt: skip
def test_what_means_the_same_is_taken_over(said: dict[str, str], means: dict[str, str]) -> None:
    found = translate(hints(**said))
    assert found.labels == means
    assert found.problems == []


@pytest.mark.parametrize(
    ("said", "name", "why"),
    [
        ({"raw": "[{}]"}, "raw", "whole configuration"),
        ({"pipeline": "mine"}, "pipeline", "index.default_pipeline"),
        ({"1.exclude_lines": "x"}, "1.exclude_lines", "several sets"),
        ({"multiline__pattern": "x", "multiline__match": "before"}, "multiline.match", "towline.multiline.start"),
        ({"multiline__pattern": "x", "multiline__type": "count"}, "multiline.type", "no equal"),
        ({"multiline__negate": "true"}, "multiline", "needs multiline.pattern"),
        ({"multiline__pattern": "("}, "multiline.pattern", "regular expression"),
        ({"multiline__pattern": "x", "multiline__negate": "perhaps"}, "multiline.negate", "true or false"),
        ({"multiline__pattern": "x", "multiline__max_lines": "9"}, "multiline.max_lines", "no equal"),
        ({"multiline__pattern": "x", "multiline__timeout": "soon"}, "multiline.timeout", "5s"),
        ({"enabled": "perhaps"}, "enabled", "write one of"),
        ({"module": "quake3"}, "module", "write"),
        ({"fileset": "access"}, "fileset", "module alone"),
        ({"json__overwrite_keys": "true"}, "json.overwrite_keys", "never overwritten"),
        ({"processors__1__add_fields__x": "1"}, "processors.1.add_fields", "no equal"),
        ({"processors__1__dissect__tokenizer": "%{a}", "processors__1__dissect__field": "x"},
         "processors.1.dissect.field", "only the message"),
        ({"namespace": "x"}, "namespace", "no equal"),
    ],
)  # fmt: skip
def test_what_has_no_equal_is_named(said: dict[str, str], name: str, why: str) -> None:
    (problem,) = translate(hints(**said)).problems
    assert problem.startswith(f"label co.elastic.logs/{name}: ")
    assert why in problem


def test_one_parser_is_enough() -> None:
    said = hints(json__keys_under_root="true", processors__1__dissect__tokenizer="%{a}")
    found = translate(said)
    assert found.labels == {"towline.parse": "json"}
    assert len(found.problems) == 1


def test_other_labels_are_none_of_its_business() -> None:
    found = translate({"towline.parse": "json", "com.example": "x", "co.elastic.metrics/module": "nginx"})
    assert (found.labels, found.problems) == ({}, [])


def test_the_documentation_names_what_is_understood() -> None:
    text = (Path(__file__).parents[3] / "docs/moving.md").read_text().partition("## Filebeat's hints")[2]
    understood, _, others = text.partition("Not understood:")
    for name in (*_KNOWN, *_FILESETS, *filter(None, _JSON_MEANT), "message_key", "include_lines", "exclude_lines"):
        assert f"{name}`" in understood or f"{name}.when" in understood or f"`processors.{name}`" in understood, name
    for name in ("raw", "pipeline", "match: before", "overwrite_keys: true"):
        assert f"{name}`" in others, name
