"""Words with vectors of their own: what stands in the place of their tokens, and that A1111 does the same."""

import pytest
import torch
from faults import raises
from webui_replay import webui_bundled, webui_heard

from lib_lora.lora.bundled import bundled_tensors
from lib_lora.models.clip_tokens import CHUNK, EOS, chunk, padded, prompt_chunks, token_ids
from lib_lora.models.families.identify import identify
from lib_lora.models.textual_inversion import FIRST, TextualInversion, own_tokens, vectors_of

CPU = torch.device("cpu")
KINDS = {"sd1": 1, "sd2v": 1, "sdxl": 2}  # text encoders


def _word(word, count, encoders=1, width=64):
    random = torch.Generator().manual_seed(len(word) + count)
    return TextualInversion(word, tuple(torch.randn(count, width, generator=random) for _ in range(encoders)))


def test_numbers_stand_in_the_place_of_a_words_tokens():
    own = own_tokens([_word("mrxa", 3)])
    assert own == (((3139, 24831), (FIRST, FIRST + 1, FIRST + 2)),)
    before, after = token_ids("photo of"), token_ids("woman")
    assert prompt_chunks("photo of Mrxa woman", own) == [[*before, FIRST, FIRST + 1, FIRST + 2, *after]]
    assert prompt_chunks("photo of mrxan woman", own) == prompt_chunks("photo of mrxan woman")
    two = own_tokens([_word("mrxa", 1), _word("mrxa woman", 2)])
    assert prompt_chunks("mrxa woman, mrxa", two) == [[FIRST + 1, FIRST + 2, *token_ids(","), FIRST]]  # longest first
    assert own_tokens([_word("\x01", 1)]) == ()  # no token: nothing to replace


@pytest.mark.parametrize("before", range(68, 77))
def test_vectors_are_never_cut_apart(before):
    own = (((9,), (FIRST, FIRST + 1, FIRST + 2, FIRST + 3)),)
    parts = chunk([*[5] * before, 9, 5], 267, own)
    assert [token for part in parts for token in part] == [*[5] * before, *own[0][1], 5]
    assert sum(own[0][1][0] in part and own[0][1][-1] in part for part in parts) == 1
    assert all(len(part) <= CHUNK for part in parts)


def test_vectors_move_with_their_word_behind_a_comma():
    """A1111 moves the tokens alone: its vectors stay in the chunk before, behind the last token of it."""
    word, comma = _word("mrxa", 2), token_ids(",")
    tokens = [*[5] * 65, *comma, *token_ids("mrxa"), *[6] * 10]
    own = own_tokens([word])
    assert chunk(tokens, comma[0], own) == [[*[5] * 65, *comma], [FIRST, FIRST + 1, *[6] * 10]]
    rows, fixes = webui_heard(tokens, comma, {"mrxa": token_ids("mrxa")}, {"mrxa": word.vectors[0]})
    assert rows == [[*[5] * 65, *comma], [0, 0, *[6] * 10]]
    assert [[offset for offset, _ in one] for one in fixes] == [[66], []]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2, 4])
@torch.no_grad()
def test_a1111_hears_the_same(toy, kind, count):
    """Its own arithmetic, replayed: what its loader makes of the file's tensors, put where its embeddings go."""
    stack = identify(toy(kind)).load_text(torch.float32, CPU)
    word = _word("mrxa", count, KINDS[kind])
    prompt = "photo of mrxa woman, " * 5 + "mrxa"
    plain = stack.encode([prompt, ""])
    loaded = webui_bundled(bundled_tensors(word.word, word.vectors))
    assert loaded.keys() == {"mrxa"}
    theirs = []
    for encoder, pad in zip(stack.encoders, [one.pad for one in stack.kinds], strict=True):
        key = "clip_g" if len(theirs) else "clip_l"
        rows, fixes = webui_heard(token_ids(prompt), token_ids(","), {"mrxa": token_ids("mrxa")}, loaded)
        ids = torch.tensor([padded(row, pad) for row in rows])
        theirs.append(_states(encoder, ids, fixes, key))
    with stack.with_inversions([word]):
        ours = stack.encode([prompt, ""])
        for n, encoder in enumerate(stack.encoders):
            mine = _ours(stack, n, prompt, encoder)
            assert float((mine - theirs[n]).abs().max()) < 1e-4
    assert float((ours.context[0] - plain.context[0]).abs().max()) > 0.05
    assert torch.equal(ours.context[1], plain.context[1])  # a prompt without the word
    again = stack.encode([prompt, ""])
    assert torch.equal(again.context, plain.context)  # afterwards it is an ordinary word


def _states(encoder, ids, fixes, key):
    """The encoder's last states with A1111's way to put vectors in, for each chunk."""
    embedding = encoder.text_model.embeddings.token_embedding

    def put(module, inputs, found):
        rows = []
        for row, own in zip(found, fixes, strict=True):
            for offset, vectors in own:
                vec = vectors[key] if isinstance(vectors, dict) else vectors
                length = min(row.shape[0] - offset - 1, vec.shape[0])
                row = torch.cat([row[0 : offset + 1], vec[0:length], row[offset + 1 + length :]])
            rows.append(row)
        return torch.stack(rows)

    handle = embedding.register_forward_hook(put)
    try:
        return encoder(input_ids=ids).last_hidden_state
    finally:
        handle.remove()


def _ours(stack, number, prompt, encoder):
    from lib_lora.models.textual_inversion import replaced

    rows = prompt_chunks(prompt, own_tokens(stack.inversions))
    ids = torch.tensor([padded(row, stack.kinds[number].pad) for row in rows])
    with replaced(encoder, [one.vectors[number] for one in stack.inversions], ids) as heard:
        assert int(heard.max()) <= EOS
        return encoder(input_ids=heard).last_hidden_state


def test_vectors_begin_as_the_class_word(toy):
    stack = identify(toy("sd1")).load_text(torch.float32, CPU)
    weights = stack.encoders[0].text_model.embeddings.token_embedding.weight
    woman, old = token_ids("woman")[0], token_ids("old woman")
    assert torch.equal(vectors_of(stack.encoders[0], "woman", 3), weights[[woman] * 3].float())
    assert torch.equal(vectors_of(stack.encoders[0], "old woman", 4), weights[[old[0], old[0], old[1], old[1]]])


def test_vectors_of_another_base_are_refused(toy):
    stack = identify(toy("sd1")).load_text(torch.float32, CPU)
    for strange in (_word("mrxa", 1, encoders=2), _word("mrxa", 1, width=32)):
        with raises("embedding-of-other-family", has="mrxa"), stack.with_inversions([strange]):
            pass
