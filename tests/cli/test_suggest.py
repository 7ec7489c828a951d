"""What a mistyped word may have meant; and what is right is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_lora import cli
from lib_lora.cli import suggest
from lib_lora.training.plan.form_fields import fields

COMMANDS = list(cli.parsers()[1])
SETTINGS = [field["key"] for field in fields()]


@pytest.mark.parametrize(
    ("word", "meant"),
    [("trian", "train"), ("Train", "train"), ("scor", "score"), ("captoin", "caption"), ("listt", "list")],
)
def test_a_mistyped_command_is_guessed(word, meant):
    assert suggest.about_command([word, "x"], COMMANDS) == f"there is no command {word!r}; did you mean {meant}?"


def test_what_resembles_nothing_is_only_named():
    assert suggest.about_command(["photo.jpg"], COMMANDS) == "there is no command 'photo.jpg'; see --help for the list."
    assert suggest.about_options(["--qqqq"], {"--base"}) == "there is no option --qqqq of this command."
    assert suggest.about_settings({"zzzz": 1}, SETTINGS) == "there is no setting 'zzzz'."


def test_an_option_before_the_command_is_said(capsys):
    """argparse took its value for the command, and listed those that are for programs only."""
    with pytest.raises(SystemExit):
        cli.main(["--data", "x", "list"])
    said = capsys.readouterr().err
    assert "--data comes before the command; write the command first, then its options." in said
    assert "worker" not in said


def test_without_a_command_all_are_listed(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([])
    said = capsys.readouterr()
    assert (end.value.code, said.out) == (2, "")
    assert "Import photos into a character's folder" in said.err


@pytest.mark.parametrize("words", [[], ["--help"], ["--vers"], ["train", "x"], ["-h"]])
def test_a_right_command_is_left_alone(words):
    assert suggest.about_command(words, COMMANDS) == ""


KNOWN = {"--base", "--set", "--steps", "--no-open", "-h"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--bsae", "x"], "there is no option --bsae; did you mean --base?"),
        (["--sets=a=1"], "there is no option --sets; did you mean --set?"),
        (["x", "--noopen"], "there is no option --noopen; did you mean --no-open?"),
        (["-base", "x"], "there is no option -base; did you mean --base?"),
        (["--Base"], "there is no option --Base; did you mean --base?"),
        (["--base", "x", "--set", "a=1", "-h"], ""),
        (["--no", "--st", "4"], ""),  # the beginning is enough
        (["--", "--bsae"], ""),
        (["-1", "-", "a-b", "-1.5e3", "--two words"], ""),
    ],
)
def test_a_mistyped_option_is_guessed(words, said):
    assert suggest.about_options(words, KNOWN) == said


@pytest.mark.parametrize(
    ("values", "near"),
    [
        ({"lora": {"rnak": 8}}, "lora.rank"),
        ({"rank": 8}, "lora.rank"),
        ({"unet_Ir": 1}, "unet_lr"),
        ({"objective": {"min_snr": 5}}, "objective.min_snr_gamma"),
        ({"learning_rate": 1}, None),
        ({"lora": {"rank": 8, "alpha": 1}, "steps": 3, "lora.te": True}, ""),
    ],
)
def test_a_mistyped_setting_is_guessed(values, near):
    said = suggest.about_settings(values, SETTINGS)
    if near == "":
        assert said == ""
    elif near:
        assert said.endswith(f"; did you mean {near}?")
    else:
        assert said.startswith("there is no setting 'learning_rate'")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_is_known_by_its_usage(name):
    """argparse writes the usage in another way in each version of Python; none may hide an option from the check."""
    sub = cli.parsers()[1][name]
    known = suggest.options_in(sub.format_usage())
    assert {"--data", "--help", "-h"} <= known
    of_help = {
        word.rstrip(",") for line in sub.format_help().splitlines() for word in line.split()[:1] if word[:2] == "--"
    }
    assert of_help <= known


@given(st.lists(st.text(max_size=12), max_size=4))
def test_any_words_are_read_without_a_crash(words):
    assert isinstance(suggest.about_options(words, KNOWN), str)
    assert isinstance(suggest.about_command(words, COMMANDS), str)
