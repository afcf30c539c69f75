"""Patterns: exact inverses for every shape, the same as frames come, as the papers draw them; wrong ones refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq import InputError, StreamClosedError
from streamrvq.tokens import CoarseFirst, Delay, Flat, Parallel, Pattern, Vocabulary

PATTERNS = [Flat, Parallel, Delay, CoarseFirst]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Pattern, np.ndarray]:
    """A pattern with any settings, and codes for it."""
    levels, frames, size = draw(st.integers(1, 9)), draw(st.integers(0, 12)), draw(st.integers(1, 1024))
    kind = draw(st.sampled_from(PATTERNS))
    shared = draw(st.booleans()) and (kind is not CoarseFirst or levels == 1)
    vocabulary = Vocabulary(levels, size, draw(st.integers(0, 70_000)), shared)
    settings: dict[str, Any] = {"bos": draw(st.booleans()), "eos": draw(st.booleans())}
    if kind is Delay and draw(st.booleans()):
        delays = draw(st.lists(st.integers(0, 5), min_size=levels, max_size=levels))
        settings["delays"] = [delay - min(delays) for delay in delays]
    codes = np.random.default_rng(draw(st.integers(0, 99))).integers(0, size, (levels, frames))
    return kind(vocabulary, **settings), codes


def plain(pattern: Pattern, codes: np.ndarray) -> np.ndarray:
    """The sequence by its definition, token by token."""
    words, (levels, frames) = pattern.vocabulary, codes.shape
    offset = words.offset
    token = {(k, t): offset + (0 if words.shared else k * words.codebook_size) + codes[k, t]
             for k in range(levels) for t in range(frames)}  # fmt: skip
    if isinstance(pattern, Flat):
        body = [[token[k, t]] for t in range(frames) for k in range(levels)]
    elif isinstance(pattern, CoarseFirst):
        body = [[token[k, t]] for k in range(levels) for t in range(frames)]
    else:
        delays = pattern.delays if isinstance(pattern, Delay) else [0] * levels
        steps = frames + max(delays) if frames else 0
        body = [[token.get((k, s - delays[k]), words.pad) for k in range(levels)] for s in range(steps)]
    width = levels if pattern.in_rows else 1
    rows = [[words.bos] * width] * pattern.bos + body + [[words.eos] * width] * pattern.eos
    array = np.array(rows, np.int64).reshape(-1, width).T
    return array if pattern.in_rows else array[0]


def cuts(data: st.DataObject, length: int) -> list[slice]:
    """A partition of ``length``, empty pieces included."""
    ends = sorted(data.draw(st.lists(st.integers(0, length), max_size=8)))
    return [slice(a, b) for a, b in zip([0, *ends], [*ends, length], strict=True)]


@given(case=cases())
def test_sequences_are_as_defined_and_inverses_exact(case: tuple[Pattern, np.ndarray]) -> None:
    pattern, codes = case
    ids = pattern.interleave(codes)
    np.testing.assert_array_equal(ids, plain(pattern, codes))
    assert ids.dtype == np.int64
    assert ids.max(initial=-1) < pattern.vocabulary.size
    back = pattern.deinterleave(ids)
    assert back.dtype == np.int64
    assert back.shape == codes.shape
    np.testing.assert_array_equal(back, codes)


@given(case=cases(), data=st.data())
def test_as_frames_come(case: tuple[Pattern, np.ndarray], data: st.DataObject) -> None:
    pattern, codes = case
    encoder, decoder = pattern.encoder(), pattern.decoder()
    ids = [encoder.push(codes[:, part]) for part in cuts(data, codes.shape[1])]
    whole = np.concatenate([*ids, encoder.flush()], axis=-1)
    np.testing.assert_array_equal(whole, pattern.interleave(codes))
    back = [decoder.push(whole[..., part]) for part in cuts(data, whole.shape[-1])]
    decoder.flush()
    np.testing.assert_array_equal(np.concatenate([np.zeros((len(codes), 0), np.int64), *back], axis=1), codes)
    assert decoder.ended == pattern.eos
    with pytest.raises(StreamClosedError):
        decoder.push(whole[..., :0])
    for late in (lambda: encoder.push(codes), encoder.flush, decoder.flush):
        with pytest.raises(StreamClosedError):
            late()


@given(case=cases(), data=st.data())
def test_no_token_is_late(case: tuple[Pattern, np.ndarray], data: st.DataObject) -> None:
    """Token by token each frame comes out with the last token that it needs; from the encoder with the frame."""
    pattern, codes = case
    whole, frames = pattern.interleave(codes), codes.shape[1]
    decoder, given_frames = pattern.decoder(), 0
    for at in range(whole.shape[-1]):
        given_frames += decoder.push(whole[..., at : at + 1]).shape[1]
        tokens, levels = max(0, at + 1 - pattern.bos), len(codes)
        wanted = {Flat: tokens // levels, Parallel: tokens, CoarseFirst: max(0, tokens - (levels - 1) * frames)}
        delay = pattern.longest if isinstance(pattern, Delay) else 0
        assert given_frames == min(frames, max(0, wanted.get(type(pattern), tokens - delay)))
    encoder, sent = pattern.encoder(), 0
    for t in range(frames):
        sent += encoder.push(codes[:, t : t + 1]).shape[-1]
        assert sent == pattern.bos + (t + 1) * (len(codes) if isinstance(pattern, Flat) else 1)


def test_as_the_papers_draw_them() -> None:
    codes, words = np.arange(12).reshape(3, 4), Vocabulary(3, 12, shared=True)
    assert Delay(words).interleave(codes).tolist() == [
        [0, 1, 2, 3, 12, 12], [12, 4, 5, 6, 7, 12], [12, 12, 8, 9, 10, 11]]  # fmt: skip
    assert Flat(words).interleave(codes).tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
    own = Vocabulary(3, 12, offset=100)
    assert CoarseFirst(own, eos=True).interleave(codes).tolist() == [
        100, 101, 102, 103, 116, 117, 118, 119, 132, 133, 134, 135, 138]  # fmt: skip
    assert (own.pad, own.bos, own.eos, own.size) == (136, 137, 138, 139)


@given(case=cases(), data=st.data())
def test_a_wrong_token_is_refused_and_leaves_no_trace(case: tuple[Pattern, np.ndarray], data: st.DataObject) -> None:
    """One token is changed: either the result is the sequence of other codes, or it is refused and changes nothing."""
    pattern, codes = case
    whole = pattern.interleave(codes)
    if not whole.size:
        return
    broken = whole.copy()
    at = data.draw(st.integers(0, whole.size - 1))
    broken.reshape(-1)[at] = data.draw(st.integers(-1, pattern.vocabulary.size))
    try:
        other = pattern.deinterleave(broken)
    except (InputError, StreamClosedError):
        pass
    else:
        np.testing.assert_array_equal(pattern.interleave(other), broken)
    decoder, column = pattern.decoder(), at % whole.shape[-1]
    before = [decoder.push(whole[..., :column])]
    try:
        decoder.push(broken[..., column : column + 1])
    except (InputError, StreamClosedError):
        rest = decoder.push(whole[..., column:])
        decoder.flush()
        np.testing.assert_array_equal(np.concatenate([*before, rest], axis=1), codes)


@given(case=cases())
def test_a_sequence_that_breaks_off_is_refused(case: tuple[Pattern, np.ndarray]) -> None:
    pattern, codes = case
    whole = pattern.interleave(codes)
    for length in range(whole.shape[-1]):
        try:
            part = pattern.deinterleave(whole[..., :length])
        except InputError:
            continue
        assert not pattern.eos  # else only the whole has its end
        np.testing.assert_array_equal(pattern.interleave(part), whole[..., :length])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_codebooks": 0}, "n_codebooks is 0"),
        ({"codebook_size": 2.5}, "codebook_size is 2.5"),
        ({"offset": -1}, "offset is -1"),
        ({"shared": "no"}, "shared is 'no'; wanted True or False"),
    ],
)
def test_bad_vocabularies(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Vocabulary(**({"n_codebooks": 2, "codebook_size": 4} | settings))


def test_bad_input() -> None:
    words = Vocabulary(2, 4)
    for delays in ([0], [1, 2], [0, -1], [0, 0.5], 0, "ab", []):
        with pytest.raises(InputError, match="delays are"):
            Delay(words, delays=delays)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="share their ids"):
        CoarseFirst(Vocabulary(2, 4, shared=True))
    for codes, message in (
        ([[0], [4]], "code 4 at codebook 1, frame 0; wanted codes from 0 to 3"),
        ([[0]], r"codes are int64 \[1, 1\]; wanted integers \[2, frames\]"),
        ([[0.5], [1]], "codes are float64"),
    ):
        with pytest.raises(InputError, match=message):
            Flat(words).interleave(np.array(codes))
    for pattern, ids, message in (
        (Flat(words), [[0, 4]], r"wanted integers \[tokens\]"),
        (Parallel(words), [0, 4], r"wanted integers \[2, steps\]"),
        (Flat(words), [0.0, 4.0], "tokens are float64"),
        (Flat(words), [0, 3], "token 3 at frame 0, codebook 1; wanted 4 to 7"),
        (Flat(words), [0, 4, 8], r"token 8 \(pad\) at frame 1, codebook 0; wanted 0 to 3"),
        (Flat(words), [0, 4, 1], "ends 1 tokens into frame 1; wanted 2 a frame"),
        (Flat(words, bos=True), [0, 4], "begins with 0; wanted bos, 9"),
        (Flat(words, eos=True), [0, 4], "without eos"),
        (Flat(words, eos=True), [0, 4, 10, 0], "1 tokens came after eos"),
        (Delay(words), [[0, 1], [5, 4]], "token 5 at step 0, codebook 1, before its level begins; wanted pad, 8"),
        (Delay(words), [[0, 1], [8, 4]], "token 1 at step 1, codebook 0, after its level ends; wanted pad, 8"),
        (Delay(words), [[0], [8]], "ends after 1 steps"),
        (CoarseFirst(words), [0, 1, 4], "ends after 3 tokens, 2 of them of codebook 0"),
        (CoarseFirst(words), [0, 4, 5], r"token 5 came after all 2 codebooks of 1 frames"),
        (CoarseFirst(words), [0, 1, 4, 0], "token 0 at frame 1, codebook 1; wanted 4 to 7"),
    ):
        with pytest.raises(InputError, match=message):
            pattern.deinterleave(np.array(ids))


@pytest.mark.parametrize("settings", [(10**12, 8), (3, 2**62), (3, 8, 2**63), (3, 10**400), (True, 8),
                                      (3, 8, 2**63 - 20)],
                         ids=str)  # fmt: skip
def test_a_vocabulary_beyond_int64_is_refused(settings: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="wanted") as caught:
        Vocabulary(*settings)
    assert len(str(caught.value)) < 300


def test_the_last_vocabulary_that_fits() -> None:
    vocabulary = Vocabulary(1, 8, 2**63 - 1 - 8 - 3)
    codes = np.array([[0, 7]])
    np.testing.assert_array_equal(Flat(vocabulary).deinterleave(Flat(vocabulary).interleave(codes)), codes)


def test_delays_and_tokens_beyond_all_bounds_are_refused() -> None:
    with pytest.raises(InputError, match="none above"):
        Delay(Vocabulary(2, 8), delays=[0, 10**12])
    for token in (2**64 - 1, 2**63, 10**400):
        with pytest.raises(InputError, match="wanted"):
            Flat(Vocabulary(2, 8)).decoder().push([token, token])


@pytest.mark.parametrize("pattern", [Flat, Parallel, Delay, CoarseFirst])
def test_an_id_in_place_of_true_is_refused(pattern: Any) -> None:
    words = Vocabulary(2, 4)
    for settings, said in (({"bos": words.bos}, "bos is 9; wanted True or False"), ({"eos": words.eos}, "eos is 10;")):
        with pytest.raises(InputError, match=said):
            pattern(words, **settings)
    with pytest.raises(InputError, match="vocabulary is a int; wanted a Vocabulary"):
        pattern(8)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.uint16, np.uint64], ids=lambda kind: kind.__name__)
def test_numpys_delays_are_those_of_python(kind: Any) -> None:
    codes = np.arange(2 * 70_000).reshape(2, -1) % 4
    ours, theirs = (Delay(Vocabulary(2, 4), delays=delays) for delays in ([0, 100], np.array([0, 100], kind)))  # type: ignore[arg-type]
    np.testing.assert_array_equal(theirs.interleave(codes), ours.interleave(codes))
    np.testing.assert_array_equal(theirs.deinterleave(ours.interleave(codes)), codes)


@pytest.mark.parametrize("shared", [False, True])
def test_ids_back_to_codes(shared: bool) -> None:
    words, codes = Vocabulary(2, 4, 10, shared), np.array([[0, 3], [1, 2]])
    for kind in (np.int8, np.uint64, ">i4"):
        back = words.codes(words.ids(codes).astype(kind))
        assert back.dtype == np.int64
        np.testing.assert_array_equal(back, codes)
    np.testing.assert_array_equal(words.codes(words.ids(codes).tolist()), codes)
    for ids, said in (
        ([[10, 11]], r"tokens have shape \[1, 2\]; wanted \[2, frames\]"),
        ([10, 11], r"tokens have shape \[2\]"),
        (None, "tokens have shape"),
        ([[10.0], [11.0]], r"tokens are float64 \[2, 1\]; wanted integers \[2, frames\]"),
        (np.full((2, 1), 2**64 - 1, np.uint64), "token 18446744073709551615; wanted ids of the vocabulary"),
    ):
        with pytest.raises(InputError, match=said):
            words.codes(ids)  # type: ignore[arg-type]
