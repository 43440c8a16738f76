"""The parser of the query language (towline.query describes the language)."""

import re
from typing import NoReturn

from towline.errors import UsageError
from towline.fields import FIELDS, REST
from towline.query import CONTAINER, Field, Node, Not, Phrase, both, either, tokens

_ALIASES = {"service": "service.name", "container": CONTAINER, "stream": "stream", "node": "host.name",
            "level": "log.level", "@timestamp": "@timestamp"}  # fmt: skip
_IDENTITY = {"event", "container", "host", "service", "orchestrator", "data_stream", "log", "towline", "error"}
_ROOTS = _IDENTITY | {name.partition(".")[0] for name in FIELDS} | {REST, "rabbitmq"}
_LEXEME = re.compile(
    r"""\s*(?:(?P<open>\()|(?P<close>\))
    |(?P<minus>-(?=["(\w@]))
    |(?P<field>[A-Za-z_@][\w.@/-]*:(?!\s|$))
    |"(?P<phrase>[^"]*)"(?P<star>\*?)
    |(?P<word>[^\s()"]+))""",
    re.VERBOSE,
)
_VALUE = re.compile(r'"(?P<literal>[^"]*)"|(?P<glob>[^\s()"]+)')
MAX_DEPTH = 40
MAX_TERMS = 200


class Parser:
    """One pass over the text: any = all (OR all)*; all = term+; term = [- or NOT] ( any ), filter or words."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._terms = 0

    def parse(self) -> Node | None:
        if not self._text.strip():
            return None
        node = self._either()
        if self._peek("close"):
            self._fail("this ) closes nothing", 'remove it, or quote it: ")"')
        return node

    def _fail(self, what: str, fix: str, at: int | None = None) -> NoReturn:
        at = self._skip_space() if at is None else at
        text = self._text if len(self._text) <= 200 else self._text[:200] + "…"
        raise UsageError(f"query {text!r}, position {at + 1}: {what}; {fix}")

    def _skip_space(self) -> int:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._at

    def _next(self) -> re.Match[str] | None:
        if self._skip_space() == len(self._text):
            return None
        found = _LEXEME.match(self._text, self._at)
        if found is None:
            self._fail("this quote is never closed", 'add a " at the end of the phrase')
        return found

    def _peek(self, group: str, word: str | None = None) -> re.Match[str] | None:
        found = self._next()
        if found and found[group] is not None and (word is None or found[group] == word):
            return found
        return None

    def _take(self, group: str, word: str | None = None) -> bool:
        found = self._peek(group, word)
        if found:
            self._at = found.end()
        return found is not None

    def _either(self) -> Node:
        parts = [self._all()]
        while self._take("word", "OR"):
            parts.append(self._all())
        return either(tuple(parts))

    def _all(self) -> Node:
        parts: list[Node] = []
        while self._next() and not self._peek("close") and not self._peek("word", "OR"):
            if self._peek("word", "AND") and not parts:
                self._fail("AND has nothing before it", 'put a word before it, or quote it: "AND"')
            if self._take("word", "AND") and (not self._next() or self._peek("close") or self._peek("word", "OR")):
                self._fail("AND has nothing after it", 'put a word after it, or quote it: "AND"')
            parts.append(self._term())
        node = both(tuple(parts))
        if node is None:
            self._fail("a word is missing here", 'OR and ( ) need words around them; quote them to look for them: "OR"')
        return node

    def _term(self) -> Node:
        start = self._skip_space()
        self._terms += 1
        self._depth += 1
        if self._terms > MAX_TERMS or self._depth > MAX_DEPTH:
            self._fail("the query is too long or too deep", f"use at most {MAX_TERMS} terms, {MAX_DEPTH} levels deep")
        try:
            if self._take("minus") or self._take("word", "NOT"):
                return self._excluded(start)
            return self._group(start) if self._take("open") else self._leaf()
        finally:
            self._depth -= 1

    def _excluded(self, start: int) -> Node:
        if not self._next() or self._peek("close") or self._peek("word", "OR") or self._peek("word", "AND"):
            self._fail("nothing follows that could be excluded", 'put a word after it, or quote it: "NOT"', start)
        return Not(self._term())

    def _group(self, start: int) -> Node:
        node = self._either()
        if not self._take("close"):
            self._fail("this ( is never closed", 'add a ), or quote it: "("', start)
        return node

    def _leaf(self) -> Node:
        found = self._next()
        assert found is not None
        start = self._at
        if found["field"] is not None:
            return self._filter(found, start)
        self._at = found.end()
        if found["phrase"] is not None:
            return self._words(found["phrase"], bool(found["star"]), start)
        word = found["word"]
        if word.endswith(":") and word[:-1] in _ALIASES:
            self._fail(f"the filter {word} has no value", f"write {word}value, without a space between", start)
        if "*" in word.removesuffix("*"):
            self._fail("* can only end a word", "write the beginning of the word and then *, for example conn*", start)
        return self._words(word.removesuffix("*"), word.endswith("*"), start)

    def _words(self, text: str, prefix: bool, start: int) -> Phrase:
        found = tuple(tokens(text))
        if not found:
            self._fail("this term holds no letter or digit", "search for words; signs between them don't count", start)
        if prefix and not text[-1].isalnum():
            self._fail("* must directly follow a letter or digit", "write for example conn*", start)
        return Phrase(found, prefix)

    def _filter(self, found: re.Match[str], start: int) -> Node:
        name = found["field"][:-1]
        value = _VALUE.match(self._text, found.end())
        if value is None:
            self._fail(f"the filter {name}: has no value", f'write {name}:value or {name}:"a value"', start)
        self._at = value.end()
        if name == "message":
            return self._message(value, start)
        address = value["glob"] is not None and value["glob"].startswith("//")
        if address or (name not in _ALIASES and name.split(".")[0] not in _ROOTS):
            self._unknown(name, start)
        if name not in _ALIASES and "." not in name:
            self._fail(f"the field {name} holds other fields", f"name one of them, such as {name}.name:value", start)
        literal = value["literal"]
        return Field(_ALIASES.get(name, name), literal if literal is not None else value["glob"], literal is not None)

    def _message(self, value: re.Match[str], start: int) -> Phrase:
        literal = value["literal"]
        text = literal if literal is not None else value["glob"]
        prefix = literal is None and text.endswith("*")
        return self._words(text.removesuffix("*") if prefix else text, prefix, start)

    def _unknown(self, name: str, start: int) -> NoReturn:
        self._fail(
            f"there is no field {name!r}",
            "use service:, container:, stream:, node: or a dotted field such as event.sequence:17; "
            'to look for the text itself put it in quotes "…"', start)  # fmt: skip
