"""Message attributes: which are accepted, the text of each error, and what a receive returns."""

from __future__ import annotations

import pytest

from protocol.actions import MessageAttributeValue as Value
from protocol.errors import InvalidParameterValue
from queueserver.rules import message_attributes
from queueserver.rules.message_attributes import parse_system_attribute_names
from queueserver.rules.trace_headers import is_trace_header
from tests.rules.rejections import IPV, rejection

RESERVED = (
    "You can't use message attribute names beginning with 'AWS.' or 'Amazon'. "
    "These strings are reserved for internal use."
)
NAME = "Message (user) attribute name"
ROOT = "Root=1-5759e988-bd862e3fe1be46a994272793"
TRACE = f"{ROOT};Parent=53995c3f42cd8ad8;Sampled=1"
LISTS = "Message attribute list values in SendMessage operation are not supported."
SUPPORTED = "You must use only the following supported type prefixes: Binary, Number, String."


def text(value: str, data_type: str = "String") -> Value:
    return Value(data_type=data_type, string_value=value)


def rejected(attributes: dict[str, Value], *, system: bool = False) -> tuple[str, str]:
    rule = (
        message_attributes.check_message_system_attributes
        if system
        else message_attributes.check_message_attributes
    )
    return rejection(rule, attributes)


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param({}, id="empty"),
        pytest.param({f"a{n}": text("x") for n in range(10)}, id="ten"),
        pytest.param({"a-b_c.D.9": text("x")}, id="alphabet of names"),
        pytest.param({"attr.1øßä": text("x")}, id="letters beyond ASCII"),
        pytest.param({"n" * 256: text("x")}, id="longest name"),
        pytest.param({"AWSome": text("x"), "Amazonas": text("x")}, id="nearly reserved"),
        pytest.param({"a": text("x", "String." + "t" * 249)}, id="longest type"),
        pytest.param({"a": text("x", "String.")}, id="type with an empty suffix"),
        pytest.param({"a": text("1", "Number.int")}, id="number with a suffix"),
        pytest.param({"a": Value(data_type="Binary.gif", binary_value=b"\x00")}, id="binary"),
        pytest.param({"a": text("\t\n\r é😀\x7f")}, id="characters of a value"),
        pytest.param(
            {"a": Value(data_type="String", string_value="x", string_list_values=[])},
            id="empty list counts as absent",
        ),
    ],
)
def test_valid_message_attributes_are_accepted(attributes: dict[str, Value]) -> None:
    message_attributes.check_message_attributes(attributes)


def test_message_has_at_most_ten_attributes() -> None:
    attributes = {f"a{n}": text("x") for n in range(11)}
    words = "Number of message attributes [11] exceeds the allowed maximum [10]."
    assert rejected(attributes) == (IPV, words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param(
            "", "The request must contain non-empty message (user) attribute names.", id="empty"
        ),
        pytest.param("n" * 257, f"{NAME} must be shorter than 256 bytes.", id="long"),
        pytest.param("é" * 129, f"{NAME} must be shorter than 256 bytes.", id="long in UTF-8"),
        pytest.param("a." * 4_000_000, f"{NAME} must be shorter than 256 bytes.", id="many dots"),
        *(
            pytest.param(
                f"a{character}",
                f"{NAME} 'a{character}' is invalid. You must use only the following characters: "
                "a-z, A-Z, 0-9, underscore (_), hyphen (-), and period (.).",
                id=f"character {character!r}",
            )
            for character in '!"§(? \n'
        ),
        pytest.param(".a", f"{NAME} must not begin with character '.'.", id="dot first"),
        pytest.param("a.", f"{NAME} must not end with character '.'.", id="dot last"),
        pytest.param("a..b", f"{NAME} must not have successive '.' characters.", id="two dots"),
        pytest.param("AWS.x", RESERVED, id="AWS"),
        pytest.param("aMaZoN.x", RESERVED, id="Amazon in any case"),
    ],
)
def test_invalid_names_are_rejected(name: str, words: str) -> None:
    assert rejected({name: text("x")}) == (IPV, words)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param(
            Value(),
            "The message {kind} attribute '{name}' must contain a non-empty message attribute "
            "value.",
            id="nothing",
        ),
        pytest.param(
            Value(string_value="x"),
            "Message {kind} attribute '{name}' must contain a non-empty attribute type",
            id="no type",
        ),
        pytest.param(
            text("x", ""),
            "Message {kind} attribute '{name}' must contain a non-empty attribute type",
            id="empty type",
        ),
        pytest.param(
            text("x", "Text"),
            f"The type of message {{kind}} attribute '{{name}}' is invalid. {SUPPORTED}",
            id="unknown type",
        ),
        pytest.param(
            text("x", "Strings"),
            f"The type of message {{kind}} attribute '{{name}}' is invalid. {SUPPORTED}",
            id="suffix without a dot",
        ),
        pytest.param(
            text("x", "string"),
            f"The type of message {{kind}} attribute '{{name}}' is invalid. {SUPPORTED}",
            id="lower case",
        ),
        pytest.param(
            text("x", "String.\x00"),
            f"The type of message {{kind}} attribute '{{name}}' is invalid. {SUPPORTED}",
            id="control character in the type",
        ),
        pytest.param(
            text("x", "String." + "t" * 250),
            "Message {kind} attribute type must be shorter than 256 bytes.",
            id="long type",
        ),
        pytest.param(
            text(""),
            "Message {kind} attribute '{name}' must contain a non-empty value of type 'String'.",
            id="empty value",
        ),
        pytest.param(
            Value(data_type="Binary"),
            "Message {kind} attribute '{name}' must contain a non-empty value of type 'Binary'.",
            id="missing value",
        ),
        pytest.param(
            Value(data_type="String", string_value="x", binary_value=b"x"),
            "Message {kind} attribute '{name}' must have a single value.",
            id="two values",
        ),
        pytest.param(
            Value(data_type="String", binary_value=b"x"),
            "Message {kind} attribute '{name}' with type 'String' must use field 'String'.",
            id="string in the wrong field",
        ),
        pytest.param(
            Value(data_type="Number.int", binary_value=b"1"),
            "Message {kind} attribute '{name}' with type 'Number' must use field 'String'.",
            id="number in the wrong field",
        ),
        pytest.param(
            text("x", "Binary"),
            "Message {kind} attribute '{name}' with type 'Binary' must use field 'Binary'.",
            id="binary in the wrong field",
        ),
        pytest.param(
            text("x", "Number"),
            "Can't cast the value of message {kind} attribute '{name}' to a number.",
            id="not a number",
        ),
        pytest.param(
            text("\x00"),
            "Invalid characters found in the value of message {kind} attribute '{name}'. "
            "Valid unicode characters are "
            "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
            id="forbidden character",
        ),
    ],
)
def test_invalid_values_of_user_and_system_attributes_are_rejected(
    value: Value, words: str
) -> None:
    own = words.format(kind="(user)", name="Hello")
    assert rejected({"Good": text("x"), "Hello": value}) == (IPV, own)
    systems = words.format(kind="system", name="AWSTraceHeader")
    assert rejected({"AWSTraceHeader": value}, system=True) == (IPV, systems)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(Value(data_type="String", string_list_values=["x"]), id="strings"),
        pytest.param(Value(data_type="Binary", binary_list_values=[b"x"]), id="blobs"),
    ],
)
def test_list_values_are_not_supported(value: Value) -> None:
    code = "AWS.SimpleQueueService.UnsupportedOperation"
    assert rejected({"a": value}) == (code, LISTS)


@pytest.mark.parametrize(
    "number",
    [
        *["0", "-0", "+1", "007", "3.14", "1.", ".5", "-.5e-3", "1E+10", "1e126", "-1e126"],
        *["1e-128", "0.1e-127", "9.99e125", "1" + "0" * 126, "0." + "0" * 127 + "1"],
        *["1" * 38, "1" * 38 + "e88", "0" * 5_000 + "1", "1." + "0" * 5_000, "0e" + "9" * 5_000],
        *["1e" + "0" * 5_000 + "1", "1000e-131", "0.001e129"],
    ],
    ids=lambda number: f"{number[:24]} ({len(number)})",
)
def test_number_has_38_digits_between_1e_minus_128_and_1e126(number: str) -> None:
    message_attributes.check_message_attributes({"a": text(number, "Number")})


@pytest.mark.parametrize(
    "number",
    [
        *["", " 1", "1 ", "1\n", "0x1", "1_000", "1,5", "NaN", "Infinity", "--1", "+", ".", "e5"],
        *["1e", "1e+", "1e1.5", "1.2.3", "٣", "1" * 39, "1." + "0" * 37 + "1"],
        *["1" * 1_000_000 + "x", "1" * 1_000_000],
    ],
    ids=lambda number: f"{number[:24]!r} ({len(number)})",
)
def test_text_that_is_not_a_number_is_rejected(number: str) -> None:
    words = "Can't cast the value of message (user) attribute 'a' to a number."
    if not number:
        words = "Message (user) attribute 'a' must contain a non-empty value of type 'Number'."
    assert rejected({"a": text(number, "Number")}) == (IPV, words)


@pytest.mark.parametrize(
    "number",
    [
        *["1.1e126", "2e126", "1e127", "-1e127", "1e-129", "9e-129", "1" + "0" * 127],
        *["1e" + "9" * 100_000, "1e-" + "9" * 100_000, "0." + "0" * 128 + "1"],
        "0." + "0" * 1_000_000 + "1e9999999999",
    ],
    ids=lambda number: f"{number[:24]} ({len(number)})",
)
def test_number_out_of_range_is_rejected(number: str) -> None:
    words = f"Number attribute value {number} should be in range (-10**128..10**126)"
    assert rejected({"a": text(number, "Number")}) == (IPV, InvalidParameterValue(words).message)


def test_only_system_attribute_is_a_trace_header_of_type_string() -> None:
    message_attributes.check_message_system_attributes({})
    message_attributes.check_message_system_attributes({"AWSTraceHeader": text(TRACE)})
    words = "Message system attribute name 'Hello' is invalid."
    assert rejected({"Hello": text("x")}, system=True) == (IPV, words)
    words = (
        "The type of message system attribute 'AWSTraceHeader' is invalid. "
        "You must use only the following supported type prefixes: String."
    )
    assert rejected({"AWSTraceHeader": text("1", "Number")}, system=True) == (IPV, words)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(ROOT, id="root alone"),
        pytest.param(TRACE, id="root, parent and decision"),
        pytest.param(TRACE.replace("Sampled=1", "Sampled=0"), id="not sampled"),
        pytest.param(f"{ROOT};Sampled=?", id="decision left open"),
        pytest.param(f"Sampled=1;Parent=53995C3F42CD8AD8;{ROOT}", id="another order"),
        pytest.param(f"Self=1-67891234-12456789abcdef012345678;{ROOT}", id="of a load balancer"),
        pytest.param(f"{ROOT};Lineage=a87bd80c:0|68fd508a:5|c512fbe3:2", id="of Lambda"),
        pytest.param(f"{ROOT}; CalledFrom=app;_dd.origin=rum;", id="spaces and parts of others"),
        pytest.param(f"{ROOT};a={'x' * (509 - len(ROOT))}", id="512 characters"),
    ],
)
def test_trace_header_has_the_form_of_x_ray(header: str) -> None:
    assert is_trace_header(header)
    message_attributes.check_message_system_attributes({"AWSTraceHeader": text(header)})


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("x", id="no parts"),
        pytest.param("Sampled=1", id="no root"),
        pytest.param("Root=1-5759e988", id="half a root"),
        pytest.param(ROOT.replace("1-", "2-", 1), id="another version"),
        pytest.param(f"{ROOT}0", id="root of 33 digits"),
        pytest.param(f"a=1;x{ROOT}", id="root inside a name"),
        pytest.param(f"{ROOT};Parent=1", id="short parent"),
        pytest.param(f"{ROOT};Sampled=yes", id="another decision"),
        pytest.param(f"{ROOT};Sampled", id="part without a value"),
        pytest.param(f"{ROOT};;Sampled=1", id="empty part"),
        pytest.param(f"{ROOT};a=b c", id="space in a value"),
        pytest.param(f"{ROOT};a=é", id="letter beyond ASCII"),
        pytest.param(f"{ROOT}\n", id="line feed"),
        pytest.param(f"{ROOT};a={'x' * (510 - len(ROOT))}", id="513 characters"),
        pytest.param('"' * 4_000_000, id="4 MB"),
    ],
)
def test_trace_header_in_another_form_is_rejected(header: str) -> None:
    assert not is_trace_header(header)
    words = (
        "The value of message system attribute 'AWSTraceHeader' must be a valid X-Ray trace header."
    )
    assert rejected({"AWSTraceHeader": text(header)}, system=True) == (IPV, words)


ATTRIBUTES = ["General", "Hello", "Help.Me", "hello"]


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        pytest.param(["All"], ATTRIBUTES, id="All"),
        pytest.param(["*"], ATTRIBUTES, id="star"),
        pytest.param(["nothing", ".*"], ATTRIBUTES, id="dot star"),
        pytest.param(["Hello"], ["Hello"], id="exact, case-sensitive"),
        pytest.param(["Hel.*"], ["Hello", "Help.Me"], id="prefix without a dot"),
        pytest.param(["Help.*", "General"], ["General", "Help.Me"], id="prefix and exact"),
        pytest.param(["Hel*", "all", "!", ""], [], id="names that no attribute can have"),
    ],
)
def test_receive_returns_the_attributes_that_its_filter_selects(
    names: list[str], shown: list[str]
) -> None:
    test = message_attributes.parse_attribute_filter(names)
    assert test is not None
    assert [name for name in ATTRIBUTES if test(name)] == shown


@pytest.mark.parametrize("names", [None, []])
def test_receive_without_a_filter_returns_no_attributes(names: list[str] | None) -> None:
    assert message_attributes.parse_attribute_filter(names) is None
    assert parse_system_attribute_names(names, names) == frozenset()


@pytest.mark.parametrize("names", [None, []])
def test_empty_list_of_system_attributes_does_not_replace_the_deprecated_one(
    names: list[str] | None,
) -> None:
    assert parse_system_attribute_names(names, ["SenderId"]) == {"SenderId"}
    assert parse_system_attribute_names(["SentTimestamp"], ["SenderId"]) == {"SentTimestamp"}
    assert parse_system_attribute_names(["Foo"], ["SenderId"]) == frozenset()


def test_receive_takes_at_most_100_names_of_256_bytes() -> None:
    names = ["é" * 128, "é" * 128 + ".*", *["Hel.*"] * 98]
    selects = message_attributes.parse_attribute_filter(names)
    assert selects is not None
    assert selects("Hello")
    assert not selects("hello")
    assert parse_system_attribute_names(["n" * 256, *["SenderId"] * 99], None) == {"SenderId"}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        pytest.param(
            ["All"] * 101,
            "Number of message {} attribute names [101] exceeds the allowed maximum [100].",
            id="101 names",
        ),
        pytest.param(
            [f"{number:x}.*" for number in range(1_000_000)],
            "Number of message {} attribute names [1000000] exceeds the allowed maximum [100].",
            id="1,000,000 prefixes",
        ),
        pytest.param(
            ["All", "é" * 129 + "x"],
            "Message {} attribute name must be shorter than 256 bytes.",
            id="long name",
        ),
    ],
)
def test_too_many_or_too_long_names_are_rejected(names: list[str], words: str) -> None:
    found = rejection(message_attributes.parse_attribute_filter, names)
    assert found == (IPV, words.format("(user)"))
    for lists in ((names, None), (None, names), (["All"], names)):
        assert rejection(parse_system_attribute_names, *lists) == (IPV, words.format("system"))


def test_system_attributes_are_selected_by_name_or_all() -> None:
    names = ["SenderId", "Foo", "senderid"]
    assert parse_system_attribute_names(names, None) == {"SenderId"}
    assert parse_system_attribute_names(["Foo", "All"], None) == {
        "ApproximateFirstReceiveTimestamp",
        "ApproximateReceiveCount",
        "AWSTraceHeader",
        "DeadLetterQueueSourceArn",
        "MessageDeduplicationId",
        "MessageGroupId",
        "SenderId",
        "SentTimestamp",
        "SequenceNumber",
    }
