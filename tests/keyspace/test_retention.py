"""The agenda of streams from which something goes by time, against a plain dict."""

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.keyspace.retention import NEVER, RetentionAgenda

steps = st.lists(
    st.one_of(
        st.tuples(st.just("plan"), st.integers(0, 1), st.sampled_from([b"a", b"b", b"c"]), st.integers(0, 50)),
        st.tuples(st.just("take"), st.just(0), st.just(b""), st.integers(0, 60)),
        st.tuples(st.just("swap"), st.just(0), st.just(b""), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=100, deadline=None)
@given(steps)
def test_what_is_planned_first_is_taken_first(script: list[tuple[str, int, bytes, int]]) -> None:
    agenda = RetentionAgenda()
    model: dict[tuple[int, bytes], int] = {}
    for verb, database, key, when in script:
        if verb == "plan":
            agenda.plan(database, key, when)
            model[database, key] = min(when, model.get((database, key), when))
        elif verb == "swap":
            agenda.swap(0, 1)
            model = {(1 - place[0], place[1]): due for place, due in model.items()}
        else:
            found = agenda.take(when)
            due = [at for at in model.values() if at <= when]
            assert (found is None) == (not due)
            if found is not None:
                assert model.pop(found) == min(due)
        assert agenda.next_ms == min(model.values(), default=NEVER)
        assert len(agenda) == len(model)
