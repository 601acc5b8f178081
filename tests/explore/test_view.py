from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.explore.view import LAWS, PARAMETERS, View, WrongValueError, from_query, read


@st.composite
def views(draw):
    numbers = {
        p.name: draw(st.integers(p.low, int(p.high)) if p.whole else st.floats(p.low, p.high))
        for p in PARAMETERS.values()
    }
    return View(law=draw(st.sampled_from(sorted(LAWS))), **numbers)


@given(views())
def test_a_query_string_reads_back_as_its_view_to_the_last_bit(view):
    reading = from_query(view.to_query())
    assert reading.view == view
    assert not reading.problems


@given(st.sampled_from(sorted(PARAMETERS)), st.text(max_size=30))
def test_any_text_is_a_value_in_range_or_a_message(name, text):
    reading = read(None, {name: text}, View())
    p = PARAMETERS[name]
    if name in reading.problems:
        assert p.allowed in reading.problems[name]
        assert reading.view == View()
        assert reading.texts[name] == text
    else:
        assert p.low <= getattr(reading.view, name) <= p.high


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("kappa", "", "Nothing is written here"),
        ("kappa", "two", "'two' is not a number: 0.1 to 10"),
        ("kappa", "nan", "'nan' is not a number"),
        ("kappa", "-1", "'-1' is too small: 0.1 to 10"),
        ("d", "1e400", "'1e400' is too large: whole, 2 to 1e9"),
        ("n", "20.5", "'20.5' is not a whole number"),
        ("start", "0,5", "Write the decimals after a point"),
        ("n", "１２", "is not a number"),  # full-width digits, which int() would take
        ("n", "1_0", "is not a number"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(name, text, said):
    with pytest.raises(WrongValueError, match=said.replace("(", r"\(")):
        PARAMETERS[name].read(text)


def test_a_query_string_with_unknown_or_repeated_names_says_so_and_keeps_the_rest():
    reading = from_query("?kappa=3&foo=1&n=5&n=6&law=flat")
    assert set(reading.problems) == {"foo", "n", "law"}
    assert (reading.view.kappa, reading.view.n, reading.view.law) == (3.0, 6, "polynomial")
    assert "query" in from_query("?kappa=" + "1" * 5000).problems


def test_a_slider_reaches_both_ends_and_its_default_and_moves_at_every_step():
    for p in PARAMETERS.values():
        assert (p.stops[0], p.stops[-1]) == (p.low, p.high)
        assert list(p.stops) == sorted(set(p.stops))
        assert p.stops[p.stop_near(getattr(View(), p.name))] == getattr(View(), p.name)
    assert {f.name for f in fields(View)} == {"law", *PARAMETERS}
