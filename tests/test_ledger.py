from hypothesis import given
from hypothesis import strategies as st

from harness.ledger import HARNESS, Ledger


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


TREE = st.recursive(
    st.integers(1, 5), lambda inner: st.tuples(st.sampled_from("abc"), st.lists(inner, max_size=4)), max_leaves=20
)


@given(st.lists(TREE, max_size=6))
def test_every_second_is_booked_once(trees):
    clock = Clock()
    ledger = Ledger(clock)

    def play(tree) -> None:
        if isinstance(tree, int):
            clock.now += tree
            return
        with ledger.spend(tree[0]):
            for inner in tree[1]:
                play(inner)

    for tree in trees:
        play(tree)
    assert sum(ledger.accounts().values()) == clock.now == ledger.elapsed


def test_a_second_belongs_to_the_innermost():
    clock = Clock()
    ledger = Ledger(clock)
    clock.now += 1
    with ledger.spend("pulls"):
        clock.now += 2
        with ledger.spend("waiting"):
            clock.now += 3
    assert ledger.accounts() == {"waiting": 3, "pulls": 2, HARNESS: 1}
    assert ledger.line().startswith("waiting 3 s (50%), pulls 2 s (33%); harness 1.0 s (16.7%)")


def test_work_done_side_by_side_is_divided_by_its_proportion():
    clock = Clock()
    ledger = Ledger(clock)
    with ledger.spend("builds"):
        clock.now += 1
    with ledger.spend("preparing"):
        clock.now += 10
    ledger.divide("preparing", {"builds": 12.0, "push": 8.0})
    assert ledger.accounts() == {"builds": 7.0, "push": 4.0, HARNESS: 0.0}
    ledger.divide("preparing", {})
    assert sum(ledger.accounts().values()) == clock.now
