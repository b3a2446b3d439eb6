"""Sessions of the page: bounded, forgotten, ended with their connection."""

from broker.console.link import Link
from broker.console.sessions import Sessions


def link():
    return Link(lambda theirs: theirs.close())


async def test_a_session_is_found_by_its_cookie_until_it_rested_too_long():
    sessions = Sessions(idle_s=10)
    session = sessions.add(link(), 0)
    assert sessions.find(session.id, 9) is session
    assert sessions.find(session.id, 18) is session
    assert sessions.find("another", 18) is None
    assert sessions.find(session.id, 28) is None
    assert not session.link.is_open


async def test_of_too_many_sessions_the_one_that_rested_longest_ends():
    sessions = Sessions(most=2)
    first, second = sessions.add(link(), 0), sessions.add(link(), 1)
    assert sessions.find(first.id, 2) is first
    third = sessions.add(link(), 3)
    assert [sessions.find(one.id, 4) for one in (first, second, third)] == [first, None, third]
    sessions.close()
    assert len(sessions) == 0
    assert not first.link.is_open


async def test_a_session_ends_with_its_connection():
    sessions = Sessions()
    session = sessions.add(link(), 0)
    session.link.close()
    assert sessions.find(session.id, 1) is None
    assert len(sessions) == 0


async def test_cookie_and_token_are_different_secrets():
    sessions = Sessions()
    session = sessions.add(link(), 0)
    assert session.is_token(session.token)
    assert not session.is_token(session.id)
    assert not session.is_token("")
    assert not session.is_token("ü")
    sessions.close()
