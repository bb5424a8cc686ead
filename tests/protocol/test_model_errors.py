from octavo.protocol.errors import ModelError, ModelErrorKind, OctavoError


def test_what_heals_by_itself_is_tried_again_and_nothing_else():
    again = {kind for kind in ModelErrorKind if ModelError("x", kind=kind).retryable}
    assert again == {
        ModelErrorKind.RATE_LIMITED,
        ModelErrorKind.SERVER,
        ModelErrorKind.AUTH,
        ModelErrorKind.DISCONNECTED,
        ModelErrorKind.IDLE_TIMEOUT,
        ModelErrorKind.UNREACHABLE,
    }


def test_a_model_error_ends_the_program_with_6():
    assert issubclass(ModelError, OctavoError)
    assert ModelError.exit_code == 6
