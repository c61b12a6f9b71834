"""Exact JSON both ways. Numbers cite the guarantees of ``bough.codec``."""

from __future__ import annotations

import copy
import json
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum, IntEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bough.codec import (
    MAX_DEPTH,
    decode,
    decode_block,
    decode_value,
    dumps,
    encode,
    encode_all,
    encode_found,
    now,
    parse_time,
    same_in_javascript,
    time_text,
)
from bough.errors import InvalidMessageError


class Role(str, Enum):  # noqa: UP042  (what most programs have)
    USER = "user"


class Score(IntEnum):
    HIGH = 3


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "not the plain value"


class Ratio(float):
    pass


class Items(list[Any]):
    pass


def exactly(value: Any) -> Any:
    """A form in which only the same values are equal: ``5 == 5.0 == True`` and ``0.0 == -0.0`` in Python, and dicts of
    another order are equal."""
    if isinstance(value, dict):
        return ("dict", [(key, exactly(item)) for key, item in value.items()])
    if isinstance(value, list):
        return ("list", [exactly(item) for item in value])
    if isinstance(value, float):
        return ("float", value.hex())
    return (type(value).__name__, value)


def nested(depth: int) -> dict[str, Any]:
    """A message of exactly so many containers inside one another, lists and dicts in turn."""
    value: Any = []
    for level in range(depth - 2):
        value = {"a": value} if level % 2 else [value]
    return {"content": value}


AWKWARD: dict[str, Any] = {
    "U+0000": "a\0b",
    "control characters": "".join(map(chr, range(32))) + "\x7f",
    "quotes": '"\\/',
    "emoji": "👩‍👩‍👧 é e\u0301",
    "line separators": "\u2028\u2029\x85\r\n",
    "byte order mark": "\ufeff",
    "noncharacters": "\uffff\U0010ffff",
    "empty string": "",
    "10 MB": "xé" * 5_000_000,
    "2**53 + 1": 2**53 + 1,
    "2**63": 2**63,
    "2**64": 2**64,
    "2**200": 2**200,
    "-2**200": -(2**200),
    "beyond the interpreter's limit of digits": 10**5000 + 7,
    "negative and beyond the limit": -(10**5000) - 7,
    "-0.0": -0.0,
    "subnormal": 1e-320,
    "smallest": 5e-324,
    "largest": sys.float_info.max,
    "whole float": 5.0,
    "whole float with an exponent": 1e22,
    "0.1 + 0.2": 0.1 + 0.2,
    "booleans": [True, False, None, 1, 0],
    "empty containers": [[], {}, [[]], [{}]],
    "empty key": {"": {"": ""}},
    "odd keys": {"\0": 1, "a b": 2, "👋": 3, "1": 4, "__proto__": 5, '"': 6},
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_values_come_back_to_the_last_bit(name: str) -> None:
    message = {"role": "user", "content": AWKWARD[name], name: [AWKWARD[name]]}
    line = encode(message)
    assert b"\n" not in line  # guarantee 4
    for back in (decode(line), decode_block(line)[0], decode_value(line), decode(encode_found(message))):
        assert exactly(back) == exactly(message)


def test_the_order_of_keys_is_kept() -> None:
    assert encode({"z": 1, "a": {"10": 1, "9": 2}, "m": 3}) == b'{"z":1,"a":{"10":1,"9":2},"m":3}'


def test_json_is_compact_utf8() -> None:
    assert encode({"role": "user", "content": "é\u2028"}) == '{"role":"user","content":"é\u2028"}'.encode()
    assert dumps([1, {"a": "é"}]) == '[1,{"a":"é"}]'.encode()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)
messages = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values, max_size=5)


@given(messages)
def test_round_trip(message: dict[str, Any]) -> None:
    before = copy.deepcopy(message)
    line = encode(message)
    assert exactly(decode(line)) == exactly(message)
    assert exactly(json.loads(line)) == exactly(message)  # another program reads the same
    assert encode_found(message) == line
    assert exactly(message) == exactly(before)  # guarantee 5


@given(st.lists(messages, max_size=3), st.sampled_from([b",", b", ", b",\n", b" ,\r\n\t"]))
def test_block_round_trip(several: list[dict[str, Any]], separator: bytes) -> None:
    block = b"\n" + separator.join(encode_all(several)) + b"\n"
    assert exactly(decode_block(block)) == exactly(several)


@given(st.integers(600, 20_000), st.sampled_from([1, -1]), st.integers(0, 10**9))
def test_integers_of_any_number_of_digits(digits: int, sign: int, last: int) -> None:
    number = sign * (10**digits + last)
    line = encode({"n": number})
    assert line == b'{"n":%b1%b}' % (b"-" if sign < 0 else b"", str(last).zfill(digits).encode())
    assert decode(line) == {"n": number}


class TestRefused:
    """Guarantee 2."""

    @pytest.mark.parametrize(
        ("message", "path", "reason"),
        [
            ({"content": [{"score": float("nan")}]}, ".content[0].score", "nan"),
            ({"a": {"b": [0, float("inf")]}}, ".a.b[1]", "inf"),
            ({"a": float("-inf")}, ".a", "-inf"),
            ({"a": Ratio("nan")}, ".a", "nan"),
            ({"a b": [["\ud800"]]}, '["a b"][0][0]', "surrogate"),
            ({"x\udfff": 1}, '["x\\udfff"]', "surrogate"),
            ({"a": {1: "x"}}, ".a", "1 is int"),
            ({None: "x"}, "", "None is NoneType"),
            ({"a": [{True: "x"}]}, ".a[0]", "True is bool"),
            ({"a": b"x"}, ".a", "bytes"),
            ({"a": bytearray(b"x")}, ".a", "bytearray"),
            ({"a": (1, 2)}, ".a", "tuple"),
            ({"a": {1, 2}}, ".a", "set"),
            ({"a": object()}, ".a", "object"),
            ({"a": 1j}, ".a", "complex"),
            ({"a": Fraction(1, 2)}, ".a", "Fraction"),
            ({"a": date(2026, 1, 1)}, ".a", "date"),
            ({"a": MappingProxyType({})}, ".a", "mappingproxy"),
            ({"a": {}.keys()}, ".a", "dict_keys"),
            ([], "", "list"),
            (None, "", "NoneType"),
            ("text", "", "str"),
            (b"{}", "", "bytes"),
            (MappingProxyType({}), "", "mappingproxy"),
        ],
    )
    def test_with_the_path_to_the_place(self, message: Any, path: str, reason: str) -> None:
        with pytest.raises(InvalidMessageError) as caught:
            encode(message)
        assert caught.value.path == path
        assert reason in caught.value.reason
        assert caught.value.index is None

    def test_a_cycle(self) -> None:
        inner: list[Any] = [1]
        inner += [{"back": inner}, inner]
        with pytest.raises(InvalidMessageError, match=r"^message\.a\[1\]\.back: it contains itself$"):
            encode({"a": inner})
        itself: dict[str, Any] = {}
        itself["me"] = itself
        with pytest.raises(InvalidMessageError, match=r"^message\.me: it contains itself$"):
            encode_found(itself)

    def test_the_same_list_twice_is_no_cycle(self) -> None:
        shared = ["\U0001f600", Role.USER]
        assert decode(encode({"a": shared, "b": [shared, shared]}))["b"] == [["😀", "user"]] * 2

    def test_the_index_of_the_message(self) -> None:
        good = {"role": "user"}
        with pytest.raises(InvalidMessageError, match=r"^message 2\.a: ") as caught:
            encode_all([good, good, {"a": float("nan")}, good])
        assert (caught.value.index, caught.value.path) == (2, ".a")

    def test_encode_found_lets_nothing_else_pass(self) -> None:
        for value in (float("nan"), (1,), {1: 2}, b"x"):
            with pytest.raises(InvalidMessageError):
                encode_found({"a": value})


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Role.USER, "user"),
        (Score.HIGH, 3),
        (Text("text"), "text"),
        (Ratio(0.5), 0.5),
        (Items([1, Role.USER]), [1, "user"]),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (defaultdict(list, a=[Score.HIGH]), {"a": [3]}),
        ({Role.USER: 1, Text("key"): 2}, {"user": 1, "key": 2}),
    ],
)
def test_subclasses_are_written_as_their_plain_value(value: Any, plain: Any) -> None:
    assert encode({"a": value, "b": [value]}) == encode({"a": plain, "b": [plain]})
    assert exactly(decode(encode({"a": value}))) == exactly({"a": plain})


def test_a_dict_subclass_is_a_message() -> None:
    moved = OrderedDict(a=1, b=2)
    moved.move_to_end("a")
    assert encode(moved) == b'{"b":2,"a":1}'


def on_a_deep_stack(work: Callable[[], object], left: int) -> object:
    """The result of ``work`` called with only about so many frames left."""

    def down() -> object:
        depth = 0
        frame = sys._getframe()
        while frame.f_back:
            frame, depth = frame.f_back, depth + 1
        return work() if depth > sys.getrecursionlimit() - left else down()

    return down()


class TestDepth:
    """Guarantee 3."""

    @pytest.mark.parametrize("left", [500, 150, 60])
    @pytest.mark.parametrize("extra", [None, 10**5000, Role.USER], ids=["plain", "huge", "subclass"])
    def test_the_deepest_message_is_written_and_read_on_any_stack(self, left: int, extra: Any) -> None:
        message = {**nested(MAX_DEPTH), "extra": extra}
        line = encode(message)
        assert on_a_deep_stack(lambda: encode(message), left) == line
        assert encode(decode(line)) == line
        back = on_a_deep_stack(lambda: [decode(line), *decode_block(line), decode_value(line)], left)
        assert [encode(each) for each in back] == [line] * 3  # type: ignore[attr-defined]

    @pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 5000])
    def test_deeper_is_refused(self, depth: int) -> None:
        with pytest.raises(InvalidMessageError, match=f"nested deeper than {MAX_DEPTH} levels"):
            encode(nested(depth))

    def test_what_another_program_nested_deeper_is_kept(self) -> None:
        line = b'{"a":' + b"[" * 400 + b"]" * 400 + b"}"
        assert encode_found(decode(line)) == line

    def test_what_is_nested_beyond_reading_is_an_error(self) -> None:
        for read in (decode, decode_block, decode_value):
            with pytest.raises(ValueError, match="nested too deeply"):
                read(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


class TestDecode:
    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (b"", "Expecting value"),
            (b"{", "line 1 column 2"),
            (b'{"a":1}{"b":2}', "Extra data"),
            (b'{"a":1},', "Extra data"),
            (b'{"a":NaN}', "NaN"),
            (b'{"a":-Infinity}', "-Infinity"),
            (b'{"a":1e400}', "1e400"),
            (b'{"a":-1e400}', "-1e400"),
            (b'{"a":01}', "delimiter"),
            (b'{"a":"\n"}', "control character"),
            (b'{"a":"\xff"}', "can't decode byte 0xff"),
            (b'{"a":"\xed\xa0\x80"}', "can't decode byte 0xed"),
            (b"{'a':1}", "double quotes"),
            (b'\xef\xbb\xbf{"a":1}', "BOM"),
            (b"[1]", "not a JSON object but list"),
            (b"1", "not a JSON object but int"),
            (b"null", "not a JSON object but NoneType"),
        ],
    )
    def test_what_is_no_message(self, line: bytes, reason: str) -> None:
        for read in (decode, lambda block: decode_block(block + b"," + block)):
            with pytest.raises(ValueError, match=r".") as caught:
                read(line)
            assert type(caught.value) is ValueError
        with pytest.raises(ValueError, match=reason):
            decode(line)

    @pytest.mark.parametrize(
        "block", [b",", b'{"a":1},', b',{"a":1}', b'{"a":1} {"b":2}', b'{"a":1}],[{"b":2}', b"{}]"]
    )
    def test_what_is_no_block(self, block: bytes) -> None:
        with pytest.raises(ValueError, match=r"."):
            decode_block(block)

    def test_an_empty_block(self) -> None:
        assert decode_block(b"") == decode_block(b" \n") == []

    def test_a_block_of_something_else(self) -> None:
        with pytest.raises(ValueError, match="item 1 is not a JSON object but list"):
            decode_block(b'{"a":"\\ud800"},[1]')

    @pytest.mark.parametrize("text", ["\ud800", "\udc00x", "a\udfff", "\udc00\udc00"])
    def test_lone_surrogates_that_another_program_wrote(self, text: str) -> None:
        message = {"a": text, text: ["é", text]}
        foreign = json.dumps(message).encode()
        assert decode(foreign) == decode_value(foreign) == message
        assert decode_block(foreign + b"," + foreign) == [message, message]
        line = encode_found(message)
        line.decode("utf-8", "strict")
        assert decode(line) == message
        with pytest.raises(InvalidMessageError, match="lone surrogate"):
            encode(decode(foreign))

    @pytest.mark.parametrize("value", [None, True, 1.5, "é", [1, {"a": [2]}], {"a": 1}, 2**200, [10**5000]])
    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    def test_any_value_with_or_without_a_byte_order_mark(self, value: Any, mark: bytes) -> None:
        inner = encode({"v": value})[len(b'{"v":') : -1]
        assert exactly(decode_value(mark + b" " + inner + b"\r\n")) == exactly(value)

    def test_no_value(self) -> None:
        for data in (b"", b"\xef\xbb\xbf", b"[1,]", b"1 2", b"NaN", b"\xff\xfe1\0"):
            with pytest.raises(ValueError, match=r"."):
                decode_value(data)

    def test_of_a_key_that_stands_twice_the_last_counts(self) -> None:
        assert decode(b'{"a":1,"b":2,"a":3}') == {"a": 3, "b": 2}

    @given(
        st.lists(
            st.sampled_from([*'{}[],:"-.0eE+ \\\t\n\x0b\0', *"aé😀", "\\ud800", "\\udc00", "NaN", "1e400", '"a":'])
        )
    )
    @example(["\\ud800", '"'])
    def test_it_reads_what_the_standard_library_reads(self, parts: list[str]) -> None:
        def finite(text: str) -> float:
            if abs(float(text)) == float("inf"):
                raise ValueError(text)
            return float(text)

        def refuse(name: str) -> float:
            raise ValueError(name)

        for text in ("".join(parts), '"' + "".join(parts) + '"', "[" + "".join(parts) + "]"):
            try:
                expected = json.loads(text, parse_float=finite, parse_constant=refuse)
            except ValueError:
                with pytest.raises(ValueError, match=r"."):
                    decode_value(text.encode())
            else:
                assert exactly(decode_value(text.encode())) == exactly(expected)


class TestSameInJavascript:
    @pytest.mark.parametrize(
        ("left", "right"),
        [
            (5, 5.0),
            (-0.0, 0),
            (2**53 + 1, 2**53),
            (10**400, 10**500),
            (1e300, 10**300),
            ({"a": 1, "b": [1.0]}, {"b": [1], "a": 1.0}),
            ({"\ud800": "\udc00"}, {"\ud800": "\udc00"}),
            (None, None),
            ([], []),
        ],
    )
    def test_same(self, left: Any, right: Any) -> None:
        assert same_in_javascript(left, right)
        assert same_in_javascript({"x": [left]}, {"x": [right]})

    @pytest.mark.parametrize(
        ("left", "right"),
        [
            (True, 1),
            (False, 0),
            (False, None),
            (0, None),
            ("1", 1),
            ("", None),
            (2**53, 2**53 + 2),
            (10**400, -(10**400)),
            (0.1, 0.1 + 1e-17 + 2e-17),
            ([], {}),
            ([1, 2], [2, 1]),
            ([1], [1, 1]),
            ([None], []),
            ({"a": 1}, {"a": 1, "b": None}),
            ({"a": 1}, {"A": 1}),
            ({}, None),
            ("é", "e\u0301"),
        ],
    )
    def test_different(self, left: Any, right: Any) -> None:
        for a, b in ((left, right), (right, left)):
            assert not same_in_javascript(a, b)
            assert not same_in_javascript({"x": ["same", a, "same"]}, {"x": ["same", b, "same"]})

    @given(messages)
    def test_what_was_decoded_and_written_in_another_order_is_the_same(self, message: Mapping[str, Any]) -> None:
        assert same_in_javascript(message, json.loads(json.dumps(message, sort_keys=True)))

    def test_nesting_does_not_matter(self) -> None:
        assert same_in_javascript(nested(5000), nested(5000))
        assert not same_in_javascript(nested(5000), nested(5001))


offsets = st.integers(-24 * 60 + 1, 24 * 60 - 1).map(lambda minutes: timezone(timedelta(minutes=minutes)))


class TestTimes:
    def test_now_is_what_a_file_gives_back(self) -> None:
        before = datetime.now(UTC) - timedelta(milliseconds=1)
        moment = now()
        assert before <= moment <= datetime.now(UTC)
        assert moment.microsecond % 1000 == 0
        assert parse_time(time_text(moment)) == moment

    @given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=offsets))
    def test_round_trip_cuts_to_milliseconds(self, moment: datetime) -> None:
        text = time_text(moment)
        back = parse_time(text)
        assert back.tzinfo is UTC
        assert timedelta(0) <= moment.astimezone(UTC) - back < timedelta(milliseconds=1)
        assert time_text(back) == text
        assert len(text) == len("2026-11-20T10:00:00.000Z")

    @pytest.mark.parametrize(
        ("moment", "text"),
        [
            (datetime(2026, 11, 20, 10, tzinfo=UTC), "2026-11-20T10:00:00.000Z"),
            (datetime(2026, 11, 20, 10, 0, 2, 511999, tzinfo=UTC), "2026-11-20T10:00:02.511Z"),
            (datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2))), "2025-12-31T23:30:00.000Z"),
            (datetime(33, 4, 3, tzinfo=UTC), "0033-04-03T00:00:00.000Z"),
            (datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC), "1969-12-31T23:59:59.999Z"),
        ],
    )
    def test_text_is_that_of_javascript(self, moment: datetime, text: str) -> None:
        assert time_text(moment) == text

    def test_a_naive_time_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no offset"):
            time_text(datetime(2026, 11, 20))

    @pytest.mark.parametrize(
        ("text", "as_utc"),
        [
            ("2026-11-20T10:00:02.511Z", "2026-11-20T10:00:02.511Z"),
            ("2026-11-20T10:00:02Z", "2026-11-20T10:00:02.000Z"),
            ("2026-11-20T10:00:02.511999+00:00", "2026-11-20T10:00:02.511Z"),
            ("2026-11-20T10:00:02+05:30", "2026-11-20T04:30:02.000Z"),
            ("2026-11-20 10:00:02-08:00", "2026-11-20T18:00:02.000Z"),
        ],
    )
    def test_times_with_an_offset_are_read(self, text: str, as_utc: str) -> None:
        moment = parse_time(text)
        assert time_text(moment) == as_utc
        assert moment.microsecond % 1000 == 0

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "yesterday",
            "2026-11-20",
            "2026-11-20T10:00:00",
            "2026-13-20T10:00:00Z",
            "2026-11-20T10:00:00.000ZZ",
            "+012026-11-20T10:00:00.000Z",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
            "\ud800",
            None,
            1763632800,
        ],
    )
    def test_anything_else_is_refused(self, text: Any) -> None:
        with pytest.raises(ValueError, match=r"."):
            parse_time(text)
