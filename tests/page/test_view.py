"""What changed between two moments, applied, is the second moment."""

from hypothesis import given
from hypothesis import strategies as st

from pilot.page.view import Row, View, changes

KEYS = ("a", "b", "c")
WORDS = st.sampled_from(["x", "y", ""])
ROWS = st.lists(
    st.builds(Row, st.sampled_from("123"), st.tuples(WORDS), WORDS), max_size=3, unique_by=lambda row: row.key
)


def views() -> st.SearchStrategy[View]:
    def table(values: st.SearchStrategy) -> st.SearchStrategy:
        return st.fixed_dictionaries(dict.fromkeys(KEYS, values))

    attrs = st.fixed_dictionaries({"data-state": WORDS})
    return st.builds(View, table(WORDS), table(attrs), table(st.integers(0, 3)), table(ROWS))


def apply(view: View, changed: dict) -> View:
    """What static/live.js does."""
    tables = dict(view.table)
    for key, (order, new) in changed.get("r", {}).items():
        rows = {row.key: row for row in tables.get(key, [])} | {
            row: Row(row, tuple(cells), state) for row, (state, cells) in new.items()
        }
        tables[key] = [rows[row] for row in order]
    return View(
        view.text | changed.get("t", {}), view.attr | changed.get("a", {}), view.at_s | changed.get("m", {}), tables
    )


@given(views(), views())
def test_changes_lead_from_one_view_to_the_next(old: View, new: View) -> None:
    assert apply(old, changes(old, new)) == new
    assert apply(View(), changes(View(), new)) == new


@given(views())
def test_what_stays_is_not_sent(view: View) -> None:
    assert changes(view, view) == {}


def test_of_a_table_only_new_rows_are_sent() -> None:
    old = View(table={"t": [Row("1", ("a",)), Row("2", ("b",))]})
    new = View(table={"t": [Row("3", ("c",)), Row("1", ("a",))]})
    assert changes(old, new) == {"r": {"t": [["3", "1"], {"3": ["", ("c",)]}]}}
