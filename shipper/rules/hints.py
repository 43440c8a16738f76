"""Filebeat's hints (`co.elastic.logs/…`) as labels of ours, where the meaning is the same; what has no equal is named.

As https://www.elastic.co/guide/en/beats/filebeat/current/configuration-autodiscover-hints.html has them, and as
filebeat/autodiscover/builder/hints/logs.go reads them: lists are cut at commas, patterns match anywhere in a line.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from shipper.rules.table import LABELS, read

PREFIX = "co.elastic.logs/"

_NO_EQUAL = "has no equal here; `towline labels` lists what there is"
_PROCESSOR = re.compile(r"processors\.(?:(\d{1,9})\.)?([a-z_]+)(?:\.(.+))?")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}
_FILESETS = frozenset({"access", "error", "log", "server", "slowlog", "gc", "deprecation"})
"""Of Filebeat's modules, those that our parsers tell apart by themselves."""
_JSON_MEANT = frozenset({"", "keys_under_root", "add_error_key", "ignore_decoding_error", "expand_keys"})
"""Options of `json.*` that say where keys go and what becomes of bad lines: both is settled here."""


@dataclass
class Hints:
    """The hints as `labels` of ours, and what could not be taken over, one line each."""

    labels: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def translate(labels: Mapping[str, str]) -> Hints:
    """What the hints among these labels ask for."""
    said = {name.removeprefix(PREFIX): text.strip() for name, text in labels.items() if name.startswith(PREFIX)}
    if not said:
        return Hints()
    found = _Translation(said)
    for step in (_enabled, _raw, _multiline, _module, _json, _processors, _lines):
        step(found)
    for name in sorted(found.said):
        found.refuse(name, _NO_EQUAL)
    return Hints(found.labels, sorted(found.problems))


class _Translation:
    """`said`: the hints without their prefix, that nobody has taken yet."""

    def __init__(self, said: Mapping[str, str]) -> None:
        self.said = dict(said)
        self.labels: dict[str, str] = {}
        self.problems: list[str] = []

    def take(self, name: str) -> str | None:
        return self.said.pop(name, None)

    def below(self, name: str) -> dict[str, str]:
        """Takes `name` ("") and everything below it, by the rest of the name."""
        inside = {key: text for key, text in self.said.items() if key == name or key.startswith(f"{name}.")}
        for key in inside:
            del self.said[key]
        return {key[len(name) + 1 :]: text for key, text in inside.items()}

    def refuse(self, name: str, why: str) -> None:
        self.problems.append(f"label {PREFIX}{name}: {why}")

    def say(self, hint: str, label: str, text: str) -> None:
        """Hint `hint` means this label; what is wrong with it is told by the hint's name."""
        problems = read({label: text}, LABELS).problems
        if problems:
            self.refuse(hint, problems[0].partition(": ")[2])
        elif label in self.labels:
            self.refuse(hint, f"says {label} a second time; keep one")
        else:
            self.labels[label] = text

    def truth(self, hint: str, text: str | None) -> bool:
        """Whether it says yes; False, and named, where it says neither."""
        if text is not None and text.lower() not in _TRUTHS:
            self.refuse(hint, "write true or false")
        return _TRUTHS.get((text or "").lower(), False)


def _enabled(found: _Translation) -> None:
    text = found.take("enabled")
    if text is not None:
        found.say("enabled", "towline.enable", text.lower())
    if (text := found.take("disable")) is not None and found.truth("disable", text):
        found.say("disable", "towline.enable", "false")


def _raw(found: _Translation) -> None:
    """And what else is a configuration of Filebeat or Elasticsearch by itself."""
    if found.take("raw") is not None:
        found.refuse("raw", "is a whole configuration of Filebeat's; say the same with towline.… labels")
    if found.take("pipeline") is not None:
        found.refuse(
            "pipeline", "name the ingest pipeline in index.default_pipeline of the template logs-docker@custom"
        )
    for name in [name for name in found.said if name.partition(".")[0].isdecimal()]:
        found.take(name)
        found.refuse(name, "of several sets of hints none is understood; write one without numbers")


def _multiline(found: _Translation) -> None:
    said = found.below("multiline")
    if not said:
        return
    pattern, kind, match = said.pop("pattern", ""), said.pop("type", "pattern"), said.pop("match", "after")
    negated = found.truth("multiline.negate", said.pop("negate", None))
    timeout = said.pop("timeout", None)
    for name in said:
        found.refuse(f"multiline.{name}".rstrip("."), _NO_EQUAL)
    if kind != "pattern":
        found.refuse("multiline.type", f"{kind} has no equal here; use towline.multiline.start or .continue")
    elif match != "after":
        found.refuse("multiline.match", f"{match} has no equal here: lines only go on what came before them; "
                     "use towline.multiline.start or .continue")  # fmt: skip
    elif not pattern:
        found.refuse("multiline", "needs multiline.pattern")
    else:
        found.say("multiline.pattern", f"towline.multiline.{'start' if negated else 'continue'}", pattern)
        if timeout is not None:
            _timeout(found, timeout)


def _timeout(found: _Translation, text: str) -> None:
    duration = _DURATION.fullmatch(text)
    if duration is None:
        found.refuse("multiline.timeout", "write a time such as 5s or 500ms")
    else:
        found.say("multiline.timeout", "towline.multiline.wait", f"{float(duration[1]) * _SECONDS[duration[2]]:g}")


def _module(found: _Translation) -> None:
    module, filesets = found.take("module"), found.below("fileset")
    if module:
        found.say("module", "towline.parse", module.lower())
    for stream, name in filesets.items():
        if name not in _FILESETS or not module:
            found.refuse(f"fileset.{stream}".rstrip("."), "has no equal here; a parser is chosen by the module alone")


def _json(found: _Translation) -> None:
    said = found.below("json")
    if not said:
        return
    for name in sorted(said.keys() - _JSON_MEANT):
        if name == "message_key":
            continue
        if name == "overwrite_keys":
            if found.truth("json.overwrite_keys", said[name]):
                found.refuse("json.overwrite_keys", "what is known of a line is never overwritten; "
                             "towline.time takes the line's own time")  # fmt: skip
        else:
            found.refuse(f"json.{name}", _NO_EQUAL)
    found.say("json", "towline.parse", "json")


def _lines(found: _Translation) -> None:
    """A line is kept where any of the patterns matches."""
    for hint, label in (("include_lines", "towline.keep"), ("exclude_lines", "towline.drop")):
        patterns = [part.strip() for part in (found.take(hint) or "").split(",") if part.strip()]
        if patterns:
            found.say(hint, f"{label}.{hint}", _any_of(patterns))


def _any_of(patterns: list[str]) -> str:
    return patterns[0] if len(patterns) == 1 else "|".join(f"(?:{pattern})" for pattern in patterns)


def _processors(found: _Translation) -> None:
    grouped: dict[tuple[int, str], dict[str, str]] = {}
    for name in [name for name in found.said if name.startswith("processors.")]:
        match = _PROCESSOR.fullmatch(name)
        if match is not None:
            grouped.setdefault((int(match[1] or 0), match[2]), {})[match[3] or ""] = found.said.pop(name)
    for (number, kind), said in sorted(grouped.items()):
        hint = f"processors.{number}.{kind}"
        known = _KNOWN.get(kind)
        if known is None:
            found.refuse(hint, _NO_EQUAL)
        else:
            known(found, hint, said)


def _dissect(found: _Translation, hint: str, said: dict[str, str]) -> None:
    tokenizer, about = said.pop("tokenizer", ""), said.pop("field", "message")
    for name in sorted(said.keys() - {"target_prefix", "ignore_failure", "overwrite_keys"}):
        found.refuse(f"{hint}.{name}", _NO_EQUAL)
    if about != "message":
        found.refuse(f"{hint}.field", "only the message is cut; write message, or leave it out")
    elif not tokenizer:
        found.refuse(hint, f"needs {hint}.tokenizer")
    elif "towline.parse" in found.labels:
        found.refuse(hint, "the line is parsed another way already; keep one")
    else:
        found.say(f"{hint}.tokenizer", "towline.parse", "dissect")
        found.say(f"{hint}.tokenizer", "towline.parse.pattern", tokenizer)


def _decode_json(found: _Translation, hint: str, said: dict[str, str]) -> None:
    if said.get("fields", "").strip("[]\"' ") != "message":
        found.refuse(f"{hint}.fields", "only the message is decoded; write message")
    else:
        found.say(hint, "towline.parse", "json")


def _drop_event(found: _Translation, hint: str, said: dict[str, str]) -> None:
    """Where the message matches a pattern, or does not, or holds a text."""
    for name, text in sorted(said.items()):
        label = f"towline.drop.{hint.replace('.', '_')}"
        if name == "when.regexp.message":
            found.say(f"{hint}.{name}", label, text)
        elif name == "when.contains.message":
            found.say(f"{hint}.{name}", label, re.escape(text))
        elif name == "when.not.regexp.message":
            found.say(f"{hint}.{name}", label.replace("drop", "keep", 1), text)
        else:
            found.refuse(f"{hint}.{name}".rstrip("."), _NO_EQUAL)


_KNOWN: Mapping[str, Callable[[_Translation, str, dict[str, str]], None]] = {
    "dissect": _dissect, "decode_json_fields": _decode_json, "drop_event": _drop_event}  # fmt: skip
