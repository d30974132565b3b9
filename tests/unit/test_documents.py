"""What Kubernetes makes of a text, and every way in which a text is refused."""

from __future__ import annotations

import json
import math
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.documents import DEEPEST, MOST_BYTES, MOST_COPIES, Document, read, stream, write
from webhook.errors import BadDocument

KUBERNETES = json.loads((Path(__file__).parent / "data" / "kubernetes-yaml.json").read_text("utf-8"))["answers"]

BILLION_LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)


def value(text: str | bytes) -> Any:
    (document,) = read(text)
    return document.value


def refusal(text: str | bytes) -> str:
    with pytest.raises(BadDocument) as refused:
        read(text, name="pod.yaml")
    message = str(refused.value)
    assert "\n" not in message
    return message


def typed(tree: Any) -> str:
    """Two trees have the same only if they have the same types too: True is not 1."""
    return json.dumps(tree, sort_keys=True)


REWRITTEN_KEYS = {
    *["1234567.0: v", "3.14159265358979: v", "16777217.0: v", "1e39: v", "-1e39: v", "1e-50: v"],
    *[".inf: v", "-.inf: v", ".nan: v"],
}
"""Keys of which Kubernetes keeps what a 32-bit float can hold, and says nothing."""


class TestKubernetes:
    @pytest.mark.parametrize("answer", KUBERNETES, ids=lambda answer: repr(answer["yaml"]))
    def test_a_text_means_what_it_means_to_kubernetes(self, answer: dict[str, Any]) -> None:
        if answer["yaml"] in REWRITTEN_KEYS:
            assert refusal(answer["yaml"]) == "pod.yaml:1: the key is not a string. Put the key in quotes."
        elif "error" in answer:
            refusal(answer["yaml"])
        else:
            found = read(answer["yaml"])
            assert typed(found[0].value if found else None) == typed(answer["json"])

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            pytest.param("a: 18446744073709551615", 2**64 - 1, id="largest 64-bit number"),
            pytest.param("a: 18446744073709551616", 2.0**64, id="the next is a float"),
            pytest.param("a: +9223372036854775808", 2.0**63, id="with a sign, a float one bit earlier"),
            pytest.param("a: " + "9" * 5000, "9" * 5000, id="too large for a float: a string"),
            pytest.param("a: 0" + "0" * 5000 + "17", 15, id="octal of any length"),
            pytest.param('{"a": 9223372036854775808}', 2**63, id="JSON, beyond a signed number"),
            pytest.param('{"a": 18446744073709551616}', 2**64, id="JSON, beyond 64 bits: not even digits are lost"),
            pytest.param('{"a": -9223372036854775809}', -(2**63) - 1, id="JSON, below 64 bits"),
        ],
    )
    def test_a_number_beyond_64_bits_never_loses_its_size(self, text: str, expected: Any) -> None:
        assert typed(value(text)) == typed({"a": expected})

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            pytest.param('{"a": 1,\n "b": NaN}', "NaN", id="NaN"),
            pytest.param('{"NaN": 1,\n "b": -Infinity}', "-Infinity", id="infinity"),
            pytest.param('{"b": 1e999}', "1e999", id="a float beyond all floats"),
            pytest.param('{"b": ' + "9" * 5000 + "}", "9" * 5000, id="an integer beyond all floats"),
            pytest.param('{"b": yes,}', True, id="a word and a comma"),
        ],
    )
    def test_what_is_not_quite_json_is_yaml(self, text: str, expected: Any) -> None:
        """As to YAMLOrJSONDecoder of k8s.io/apimachinery, with which kubectl reads."""
        assert typed(value(text)["b"]) == typed(expected)

    def test_what_has_an_alias_is_a_fresh_copy(self) -> None:
        found = value("a: &x {k: [1]}\nb: *x\nc: {<<: *x}\n")
        found["a"]["k"].append(2)
        assert found == {"a": {"k": [1, 2]}, "b": {"k": [1]}, "c": {"k": [1]}}

    def test_an_anchor_ends_with_its_document(self) -> None:
        assert "pod.yaml:3: the alias *x has no anchor" in refusal("a: &x 1\n---\nb: *x\n")


class TestDocuments:
    def test_documents_come_with_the_line_on_which_they_begin(self) -> None:
        text = "# pods\na: 1\n---\n\nb: 2\n--- {c: 3}\n...\n"
        assert read(text) == [Document({"a": 1}, 2), Document({"b": 2}, 5), Document({"c": 3}, 6)]

    def test_json_documents_may_stand_one_behind_the_other(self) -> None:
        assert read('\n{"a": 1}\n[2]{"c": 3}\n') == [
            Document({"a": 1}, 2),
            Document([2], 3),
            Document({"c": 3}, 3),
        ]

    @pytest.mark.parametrize("text", ["", "\n", "# only\n", "---\n---\n", "null\n", "--- ~\n...\n", "\ufeff"])
    def test_empty_documents_are_skipped(self, text: str) -> None:
        assert read(text) == []

    def test_json_may_have_a_byte_order_mark_and_empty_documents(self) -> None:
        assert read('\ufeff{"a": "\\ud83d\\ude00"}\nnull\n') == [Document({"a": "😀"}, 1)]

    def test_json_is_read_as_json(self) -> None:
        text = '{\n\t"a": "\\ud83d\\ude00\\/",\n\t"on": [1.5, -2, true, null],\n\t"1": {}\n}'
        assert value(text) == {"a": "😀/", "on": [1.5, -2, True, None], "1": {}}

    def test_yaml_may_begin_like_json(self) -> None:
        assert value("{a: yes, b: [c]}\n") == {"a": True, "b": ["c"]}

    def test_yaml_may_go_on_behind_json(self) -> None:
        assert read('{"a": 1}\n---\nb: 2\n') == [Document({"a": 1}, 1), Document({"b": 2}, 3)]

    @pytest.mark.parametrize("text", [b"\xef\xbb\xbfa: \xc3\xa9\n", "\ufeffa: é\n", "a: é\r\n".encode()])
    def test_a_utf_8_text_may_have_a_byte_order_mark(self, text: str | bytes) -> None:
        assert value(text) == {"a": "é"}


class TestStream:
    """A text of any size: what of it can be read is read."""

    def of(self, text: str | bytes, piece: int = 7) -> list[Any]:
        """Values, and the texts of problems; the text comes in lines of at most *piece* bytes."""
        raw = text if isinstance(text, bytes) else text.encode()
        lines = raw.splitlines(keepends=True)
        pieces = [line[i : i + piece] for line in lines for i in range(0, len(line), piece)]
        return [
            str(found) if isinstance(found, BadDocument) else (found.value, found.line)
            for found in stream(pieces, name="x")
        ]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            pytest.param("a: 1\n---\nb: 2\n", [({"a": 1}, 1), ({"b": 2}, 3)], id="two documents"),
            pytest.param("---\n---\na: 1\n---\n", [({"a": 1}, 3)], id="empty documents"),
            pytest.param("# c\n%YAML 1.1\n---\na: 1\n", [({"a": 1}, 4)], id="a directive"),
            pytest.param("--- {a: 1}\n--- # c\nb: 2", [({"a": 1}, 1), ({"b": 2}, 3)], id="content after the dashes"),
            pytest.param("a: |\n  ---\n  x\n---x: 1\n", [({"a": "---\nx\n", "---x": 1}, 1)], id="no separators"),
            pytest.param("a: 1\r\n---\r\nb: 2\r\n", [({"a": 1}, 1), ({"b": 2}, 3)], id="lines of Windows"),
            pytest.param("a: 1\n...\n---\nb: 2\n", [({"a": 1}, 1), ({"b": 2}, 4)], id="an end of a document"),
            pytest.param('{"a": 1}\n{"b": 1.0}\n', [({"a": 1}, 1), ({"b": 1}, 2)], id="JSON behind JSON"),
            pytest.param('{"a": 1}\n---\nb: 2\n', [({"a": 1}, 1), ({"b": 2}, 3)], id="YAML behind JSON"),
            pytest.param("\ufeffa: 1\n", [({"a": 1}, 1)], id="a byte order mark"),
            pytest.param("", [], id="nothing"),
        ],
    )
    def test_documents_come_with_their_lines(self, text: str, expected: list[Any]) -> None:
        assert self.of(text) == expected
        assert self.of(text, piece=10_000) == expected

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            pytest.param("b: 1\nb: 2\n", "x:4: duplicate key 'b'. Keep one of them; the first is on line 3.", id="key"),
            pytest.param("b:\n- 'x\n", "a quoted scalar that begins on line 4", id="another line"),
            pytest.param("b: \xff".encode("latin-1"), "x:3: byte 0xff is not UTF-8", id="not UTF-8"),
            pytest.param("b: {{ .Values.b }}\n", "with '{{' it is a template, and no manifest yet", id="a template"),
        ],
    )
    def test_one_that_cannot_be_read_does_not_hide_the_others(self, text: str | bytes, problem: str) -> None:
        raw = text if isinstance(text, bytes) else text.encode()
        first, wrong, last = self.of(b"a: 1\n---\n" + raw + b"\n---\nc: 3\n")
        assert first == ({"a": 1}, 1)
        assert problem in wrong
        assert last[0] == {"c": 3}

    def test_nor_does_one_in_json(self) -> None:
        assert self.of('{"a": 1}\n{"b" 2}\n{"c": 3, "c": 3}\n{"d": 4}') == [
            ({"a": 1}, 1),
            "x:2: not JSON: JSON is malformed: expected ':' (byte 5). Correct it.",
            "x:3: duplicate key 'c'. Keep one of them; the first is on line 3.",
            ({"d": 4}, 4),
        ]

    @pytest.mark.parametrize("as_json", [True, False], ids=["JSON", "YAML"])
    def test_the_limit_of_the_api_server_is_for_each_object(self, as_json: bool) -> None:
        small, large = {"a": "x" * (MOST_BYTES // 2)}, {"a": "x" * MOST_BYTES}
        for tree in ({"items": [small, large, small, small]}, large):
            found = self.of(json.dumps(tree) if as_json else write(tree), piece=1 << 16)
            assert "and the API server accepts at most 3,145,728" in found.pop()
            assert found == ([({"items": [small, small, small]}, 1)] if "items" in tree else [])

    def test_a_text_without_end_is_read_as_it_comes(self) -> None:
        found = stream(cycle([b"---\n", b"a: 1\n"]))
        assert [document.value for document in islice(found, 3) if isinstance(document, Document)] == [{"a": 1}] * 3

    def test_a_document_that_does_not_end_is_refused_and_the_next_is_read(self, monkeypatch) -> None:
        monkeypatch.setattr("webhook.documents.bulk.MOST_AT_ONCE", 1_000)
        wrong, last = self.of("a: 1\n" * 10_000 + "---\nb: 2\n")
        assert wrong.startswith("x:1: the document has more than 1,000 bytes")
        assert last == ({"b": 2}, 10_002)


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            pytest.param(
                "a: 1\nb:\n  c: 1\n  c: 2\n", "4: duplicate key 'c'. Keep one of them; the first is on", id="key"
            ),
            pytest.param('a: 1\n"a": 2\n', "2: duplicate key 'a'", id="key, once in quotes"),
            pytest.param('1: a\n"1": b\n', "2: duplicate key '1'", id="number and string"),
            pytest.param('{"a": 1,\n"b": {"c": 1,\n\t"c": "\\ud83d\\ude00"}}', "3: duplicate key 'c'", id="JSON key"),
            pytest.param(
                "a: !!python/object:os.x {}",
                "1: the tag '!!python/object:os.x' is not supported here",
                id="a Python tag",
            ),
            pytest.param("a:\n- !foo b", "2: the tag '!foo' is not supported here", id="a tag of one's own"),
            pytest.param(
                "a: !!binary aGk=", "1: the tag '!!binary' is not supported here", id="a tag that JSON has no type for"
            ),
            pytest.param("a: !!str [b]", "1: the tag '!!str' is not supported here", id="a tag on the wrong thing"),
            pytest.param("a: !!int x", "1: 'x' is not a value of !!int. Remove the !!int.", id="a tag that lies"),
            pytest.param("a: *x", "1: the alias *x has no anchor. Write &x", id="an alias without anchor"),
            pytest.param("a: &x\n  b: *x", "2: the alias *x contains itself", id="an alias that contains itself"),
            pytest.param("&x a: {? *y : 1}", "1: the alias *y has no anchor", id="an alias as a key"),
            pytest.param("? [a]\n: b", "1: the key is not a string", id="a list as a key"),
            pytest.param("? {a: b}\n: c", "1: the key is not a string", id="a mapping as a key"),
            pytest.param("x: &x [1]\n? *x\n: b", "2: the key is not a string", id="a list as a key, by alias"),
            pytest.param("~: a", "1: a key is missing", id="null as a key"),
            pytest.param("a: 1\n<<: 2", "2: '<<' takes a mapping", id="a merge of no mapping"),
            pytest.param("a: .inf", "1: JSON has no infinity", id="infinity"),
            pytest.param("%YAML 1.2\n---\na: 0o17", "1: Kubernetes reads only YAML 1.1", id="another YAML"),
            pytest.param("a: b: c", "1: not YAML: mapping values are not allowed", id="two colons"),
            pytest.param("a:\n\tb: c", "Indent with spaces, not with tabs.", id="a tab"),
            pytest.param("a: @b", "Put the value that begins with '@' in quotes.", id="an indicator"),
            pytest.param("a: [1, 2\n", "1: not YAML: did not find expected ',' or ']'", id="an open list"),
            pytest.param(
                '{"a": 1}\n{"a" 1}',
                "2: not YAML: did not find expected <document start>. Correct the JSON,",
                id="bad JSON",
            ),
            pytest.param('{"a": 1,\n "b" 1}', "2: not YAML: did not find expected ',' or '}'", id="a colon left out"),
            pytest.param('[1,\n{"a": 1, "\\u0061": 2}]', "2: duplicate key 'a'", id="JSON key, once escaped"),
            pytest.param("{a: 1,\n b: c: d}", "2: not YAML", id="bad YAML that begins like JSON"),
        ],
    )
    def test_a_mistake_is_named_with_its_line(self, text: str, message: str) -> None:
        told = refusal(text)
        assert told.startswith("pod.yaml:")
        assert message in told

    @pytest.mark.parametrize("text", ["a: [1, 2", "a: 'x", "a: b: c", "- a\nb: c", '"\\q"', "a:\n\tb: c", "&", "{"])
    def test_bad_syntax_is_refused(self, text: str) -> None:
        assert refusal(text)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            pytest.param("a: b\n".encode("utf-16"), "the text is UTF-16. Save it as UTF-8.", id="UTF-16"),
            pytest.param(b"\xfe\xff\0a", "the text is UTF-16", id="UTF-16, big end first"),
            pytest.param("a: b\n".encode("utf-16-le"), "the control character U+0000", id="UTF-16 without a mark"),
            pytest.param(b"a: 1\nb: \xff\n", "2: byte 0xff is not UTF-8", id="Latin-1"),
            pytest.param(b"a: \xed\xa0\x80", "1: byte 0xed is not UTF-8", id="a surrogate in UTF-8"),
            pytest.param("a: 1\nb: \ud800", "2: the text contains half a character", id="a surrogate in a str"),
            pytest.param(
                '{"a":\n "\\\\\\ud83d\\ude00 \\ud800"}', "2: not YAML: found invalid Unicode", id="one in JSON"
            ),
            pytest.param('{"\\udc00": 1}', "1: not YAML: found invalid Unicode", id="one in a key of JSON"),
            pytest.param('a: "\\ud800"', "Write the character itself", id="one in YAML"),
            pytest.param("a: b\nc: \0", "2: the text contains the control character U+0000", id="NUL"),
            pytest.param("a: \x1b[0m", "1: the text contains the control character U+001B", id="an escape sequence"),
            pytest.param('{"a": "\x07"}', "1: the text contains the control character U+0007", id="a bell in JSON"),
            pytest.param("a: \x7f", "1: the text contains the control character U+007F", id="DEL"),
        ],
    )
    def test_what_is_not_text_is_refused(self, text: str | bytes, message: str) -> None:
        assert message in refusal(text)

    def test_an_escaped_backslash_before_a_u_is_no_surrogate(self) -> None:
        assert value('{"a": "\\\\ud800"}') == {"a": "\\ud800"}


def nested(opening: str, inner: str, closing: str, levels: int) -> str:
    return opening * levels + inner + closing * levels


class TestLimits:
    @pytest.mark.parametrize(
        ("opening", "inner", "closing"),
        [("[", "1", "]"), ('{"a":', "1", "}"), ("{a: ", "1", "}"), ("- ", "1", ""), ("[{a: ", "1", "}]")],
        ids=["JSON lists", "JSON objects", "flow mappings", "block lists", "both"],
    )
    def test_nesting_ends_at_the_deepest_level(self, opening: str, inner: str, closing: str) -> None:
        levels = DEEPEST // (2 if opening.startswith("[{") else 1)
        assert read(nested(opening, inner, closing, levels))
        assert "nested deeper than 100 levels" in refusal(nested(opening, inner, closing, levels + 1))

    @pytest.mark.parametrize(
        "text",
        [
            "[" * 100_000,
            nested("[", "", "]", 100_000),
            nested('{"a":', "1", "}", 100_000),
            "- " * 100_000,
            "\n".join(" " * n + "a:" for n in range(2_000)),
        ],
        ids=["[", "[]", "{}", "-", "block mappings"],
    )
    def test_endless_nesting_is_refused_and_ends_nothing(self, text: str) -> None:
        assert "nested deeper than 100 levels" in refusal(text)

    @pytest.mark.parametrize(
        "text", ["{" * 100_000, "[{" * 100_000, "? " * 100_000, "!" * 100_000, "&a " * 100_000, "'" * 100_001]
    )
    def test_other_endless_texts_are_refused_too(self, text: str) -> None:
        assert refusal(text)

    def test_aliases_do_not_hide_nesting(self) -> None:
        half = DEEPEST // 2
        chain = "a: &a " + nested("[", "1", "]", half) + "\nb: " + nested("[", "*a", "]", half)
        assert "2: nested deeper than 100 levels" in refusal(chain)
        assert read(chain.replace("b: [[", "b: [").replace("*a]]", "*a]"))

    @pytest.mark.parametrize("merge", ["", "m: {<<: *a9}\n"], ids=["lists", "a merge"])
    def test_a_billion_laughs_are_refused(self, merge: str) -> None:
        assert "aliases stand for more than 100,000 values" in refusal(BILLION_LAUGHS + merge)

    def test_aliases_may_add_so_many_values_and_no_more(self) -> None:
        text = f"a: &a [{', '.join(['1'] * 999)}]\nb: [{', '.join(['*a'] * (MOST_COPIES // 1000))}]\n"
        assert len(value(text)["b"]) == MOST_COPIES // 1000
        assert "1: aliases stand for more" not in refusal(text + "c: *a\n")
        assert "3: aliases stand for more" in refusal(text + "c: *a\n")

    @pytest.mark.parametrize("long", [f"&a {'x' * 100_000}", f"&a {{{'x' * 1_000}: 1}}"], ids=["a string", "a key"])
    def test_aliases_of_long_strings_may_not_add_more_than_the_api_server_accepts(self, long: str) -> None:
        times = MOST_BYTES // (100_000 if long.endswith("x") else 1_000)
        text = f"a: {long}\nb: [{', '.join(['*a'] * times)}]\n"
        assert len(value(text)["b"]) == times
        assert "3: aliases stand for more than 3,145,728 characters" in refusal(text + "c: *a\n")

    @pytest.mark.parametrize("as_bytes", [False, True], ids=["str", "bytes"])
    def test_a_text_may_be_as_large_as_a_request(self, as_bytes: bool) -> None:
        largest = "a: é" + "x" * (MOST_BYTES - 5)
        assert len(largest.encode()) == MOST_BYTES
        for text, fits in [(largest, True), (largest + "x", False)]:
            given = text.encode() if as_bytes else text
            if fits:
                assert len(value(given)["a"]) == MOST_BYTES - 4
            else:
                assert "the text has 3,145,729 bytes, and the API server accepts at most 3,145,728" in refusal(given)

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param('{"a":1,"a":2} "' + '\\"' * 1_500_000, id="a string that does not end, behind a mistake"),
            pytest.param('["' + '\\"' * 1_500_000, id="one that does not end"),
            pytest.param('{"a":"' + '"' * 3_000_000, id="quotes"),
            pytest.param('{"a"' + " " * 3_000_000 + "1}", id="spaces before a colon"),
            pytest.param("[" + "]" * 3_000_000, id="closing brackets"),
            pytest.param("{} " * 100_000 + "x", id="many documents and a mistake"),
            pytest.param('["' + "\\ud83d\\ude00" * 250_000 + '", ]x', id="many escapes"),
        ],
    )
    def test_a_text_made_to_be_slow_is_refused(self, text: str) -> None:
        """Each takes minutes or hours where the cost is not linear, and less than a second where it is."""
        assert refusal(text)

    def test_many_duplicates_are_one_refusal(self) -> None:
        assert "duplicate key 'a'" in refusal('{"b": 1,' + '"a": 1,' * 100_000 + '"c": 1}')


MISREAD = [
    *["1e3", "1E3", "0o17", "0x1F", "1_000", ".5", "0123", "08", "0b1", "0b+1", "-1", "+1", "1.", "1.5e-3", "20B0"],
    *["yes", "Yes", "y", "n", "on", "off", "NO", "true", "null", "~", "=", "<<", ".inf", "-.INF", ".nan", "_1", "-_1"],
    *["1:30", "190:20:30.15", "2001-01-01", "2001-01-01T00:00:00Z", "1,000", ".", "-", "---", "...", "0", "00"],
]
AWKWARD = [
    *["", " ", " a", "a ", "a: b", "a:", "a #b", "#a", "- a", "? a", "-", "&a", "*a", "!a", "|", ">", "@a", "`a", "%a"],
    *["{", "[a]", "'", '"', "\\", "a\tb", "\t", "a\rb", "a\r\nb", "\x7f", "\x85", "\u2028", "\ufeff", "é", "😀", "\0"],
    *[
        "\n",
        "a\n",
        "a\nb",
        "a\nb\n",
        "a\n\n",
        "\na",
        " a\nb",
        "a\n b",
        "a \nb",
        "a\n \nb",
        "a\n#b",
        "a\n---\nb",
        "a\n\tb",
    ],
    *["---", "---\nb", "...\nb\n", "x" * 2000, "x y " * 500, ("x" * 200 + "\n") * 3],
]
STRINGS = st.text() | st.sampled_from(MISREAD + AWKWARD) | st.text("01.:_-+exob \n#", max_size=8)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TREES = st.recursive(
    st.none() | st.booleans() | NUMBERS | STRINGS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(STRINGS, inner, max_size=4),
    max_leaves=20,
)
STRING_TREES = st.recursive(
    STRINGS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(STRINGS, inner, max_size=4),
    max_leaves=20,
)


class TestWriting:
    @given(TREES.filter(lambda tree: tree is not None))
    @settings(max_examples=300)
    def test_what_is_written_is_read_again(self, tree: Any) -> None:
        assert value(write(tree)) == tree

    @given(STRING_TREES)
    @settings(max_examples=300)
    def test_pyyaml_reads_the_same_strings(self, tree: Any) -> None:
        assert yaml.safe_load(write(tree)) == tree

    @given(TREES)
    def test_json_is_read_as_python_reads_it(self, tree: Any) -> None:
        text = json.dumps([tree])
        assert value(text) == json.loads(text)

    @pytest.mark.parametrize("text", MISREAD)
    def test_a_string_that_some_reader_takes_for_something_else_is_quoted(self, text: str) -> None:
        assert write({"a": text}).startswith(('a: "', "a: '"))
        assert write({text: 1}).startswith(('"', "'"))

    @pytest.mark.parametrize("text", ["1g.5gb", "nvidia.com/gpu", "100m", "2Gi", "a b", "10gb", "/bin/sh", "-c", "v1"])
    def test_an_ordinary_string_stays_plain(self, text: str) -> None:
        assert write({"a": text}) == f"a: {text}\n"

    @pytest.mark.parametrize("text", AWKWARD, ids=repr)
    def test_an_awkward_string_comes_back(self, text: str) -> None:
        for tree in ({"a": [text]}, {text: text}, [[text], text]):
            assert value(write(tree)) == tree == yaml.safe_load(write(tree))
            assert not write(tree).endswith("...\n")

    def test_it_looks_like_a_manifest(self) -> None:
        pod = {
            "kind": "Pod",
            "metadata": {"annotations": {"gpu-slice": "1g.5gb"}, "labels": {}},
            "spec": {"containers": [{"name": "main", "args": ["-c", "echo 1\necho " + "x" * 120 + "\n"]}], "x": []},
        }
        assert write(pod) == (
            "kind: Pod\n"
            "metadata:\n"
            "  annotations:\n"
            "    gpu-slice: 1g.5gb\n"
            "  labels: {}\n"
            "spec:\n"
            "  containers:\n"
            "  - name: main\n"
            "    args:\n"
            "    - -c\n"
            "    - |\n"
            "      echo 1\n"
            f"      echo {'x' * 120}\n"
            "  x: []\n"
        )

    @pytest.mark.parametrize("text", ["a\u2028b", "a\u2029", "a\x85b", "a\rb", "a\x7f", "\ufeff", "a\nb\u2028"])
    def test_what_is_a_line_break_to_some_readers_is_escaped(self, text: str) -> None:
        assert write({"a": text}).isascii()

    @given(TREES)
    def test_no_character_of_it_steers_a_terminal(self, tree: Any) -> None:
        assert all(character.isprintable() for character in write({"a": tree}).replace("\n", ""))

    @pytest.mark.parametrize("text", ["a\u202eb", "\u2066\n", "\u200b", "\xa0", "\U000e0041", "\ue000", "a\\\u202e"])
    def test_what_yaml_calls_printable_and_nobody_sees_is_escaped(self, text: str) -> None:
        assert write({text: [text]}).isascii()
        assert value(write({text: [text]})) == {text: [text]}

    def test_letters_of_all_languages_stay_themselves(self) -> None:
        assert write({"é": "日本"}) == "é: 日本\n"

    def test_a_long_line_is_not_folded(self) -> None:
        assert write({"a": "b " * 500 + "c"}) == "a: " + "b " * 500 + "c\n"

    def test_a_value_that_is_there_twice_is_written_twice(self) -> None:
        shared = {"k": [1]}
        assert write({"a": shared, "b": shared}) == "a:\n  k:\n  - 1\nb:\n  k:\n  - 1\n"

    @pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
    def test_what_json_cannot_say_is_not_written(self, number: float) -> None:
        with pytest.raises(ValueError, match="JSON"):
            write({"a": number})


def test_the_classes_of_pyyaml_stay_as_they_are() -> None:
    assert yaml.safe_load("a: yes\nb: 1:30") == {"a": True, "b": 90}
    assert yaml.safe_dump({"a": "1g.5gb", "b": "1e3"}) == "a: 1g.5gb\nb: 1e3\n"
