"""Trigger words by CLIP's own tokenizer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora.captions.trigger_words import check, propose


@pytest.mark.parametrize("word", ["mrxa", "txms", "Zwxvo"])
def test_an_invented_word_of_two_or_three_tokens_will_do(word):
    found = check(word)
    assert found.problems == []
    assert 2 <= len(found.tokens) <= 3
    assert "".join(found.tokens) == found.word == word.lower()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("woman", "is a word that CLIP knows"),
        ("sks", "is a word that CLIP knows"),
        ("Mara", "is a first name"),
        ("svantje", "is a first name"),
        ("portraitxq", "begins with the word 'portrait'"),
        ("qxzvkjwqxzvk", "tokens ("),
        ("mrxa woman", "is several words"),
        ("märxa", "letters outside a to z"),
        ("名前", "letters outside a to z"),
        ("a123", "is mostly digits"),
        ("mrx4a", "has more than letters"),
        ("mr-xa", "has more than letters"),
        ("x", "has 1 letters"),
        ("", "has 0 letters"),
        ("mrxamrxamrxam", "has 13 letters"),
    ],
)
def test_what_speaks_against_a_word_is_said(word, said):
    problems = check(word).problems
    assert any(said in sentence for sentence in problems), problems
    assert all(sentence.endswith(".") for sentence in problems)


def test_the_name_of_an_embedding_is_taken():
    problems = check("Mrxa", {"mrxa": "the name of mrxa.pt"}).problems
    assert problems == ["'mrxa' is the name of mrxa.pt; both would be painted."]


@pytest.mark.parametrize("name", ["Mara", "Jürgen Großmann", "名前", "", "Ao", "Xzqv", "Li"])
def test_what_is_proposed_has_no_problem_and_is_always_the_same(name):
    found = propose(name)
    assert len(found) == len({one.word for one in found}) == 5
    assert all(check(one.word).problems == [] for one in found)
    assert propose(name) == found
    others = propose(name, {found[0].word: "taken"})
    assert found[0].word not in {one.word for one in others}


@settings(max_examples=25)
@given(st.text(max_size=30))
def test_any_text_is_checked_without_an_error(text):
    assert isinstance(check(text).problems, list)
    assert all(not one.problems for one in propose(text))
