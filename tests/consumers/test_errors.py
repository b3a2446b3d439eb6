import pickle

from consumers.errors import control_flow
from consumers.outcomes import BatchError, Reject, Retry


def test_a_word_is_found_in_nested_groups() -> None:
    word = Retry(after=1)
    assert control_flow(ExceptionGroup("", [ExceptionGroup("", [word])])) is word


def test_a_true_failure_beside_a_word_is_a_failure() -> None:
    assert control_flow(ExceptionGroup("", [Reject("no"), ValueError()])) is None


def test_an_ordinary_exception_is_no_word() -> None:
    assert control_flow(ValueError()) is None


def test_words_pass_between_processes_whole() -> None:
    retry = pickle.loads(pickle.dumps(Retry(after="2m", reason="busy")))
    assert (retry.after, retry.reason) == (120.0, "busy")
    batch = pickle.loads(pickle.dumps(BatchError({"1-1": Reject("no")})))
    assert batch.failures["1-1"].reason == "no"
