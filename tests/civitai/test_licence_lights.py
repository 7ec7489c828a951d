"""What pages permit, as traffic lights: each combination of flags, what is unknown, people, base models, several."""

from __future__ import annotations

from itertools import chain, combinations, product

import pytest

from lib_lora.civitai.api.licence_flags import COMMERCIAL, Permissions, commercial_of, permissions_of, statements
from lib_lora.civitai.base_licences import bases, family_of_base, licence_named, licence_of_base
from lib_lora.civitai.licence_lights import (
    LIGHTS,
    PURPOSES,
    LicensedModel,
    adult,
    assess,
    levels,
    templates,
    together,
    worst,
)
from lib_lora.models.families.registry import family_names

SUBSETS = [frozenset(one) for one in chain(*(combinations(COMMERCIAL, count) for count in range(5)))]
THREE = (True, False, None)
FREE = licence_named("apache-2.0")
OPEN = Permissions(frozenset(COMMERCIAL), True, True, True)


def model(permissions=OPEN, **about):
    known = {"poi": False, "minor": False, "nsfw": False, "level": 1, "base": "SD 1.5", "kind": "LORA"}
    given = {"licence": licence_of_base("SD 1.5"), **known, **about}
    return LicensedModel("Ink", "inka", permissions=permissions, **given)


def lights(permissions=OPEN, **about):
    return {purpose: shown.light for purpose, shown in assess(model(permissions, **about)).lights.items()}


def test_every_combination_of_flags():
    """Green only where everything that it depends on is known and permitted; a flag that forbids is never lost."""
    count = 0
    for commercial, credit, derivatives, different in product([*SUBSETS, None], THREE, THREE, THREE):
        count += 1
        found = assess(model(Permissions(commercial, credit, derivatives, different), licence=FREE))
        light = {purpose: shown.light for purpose, shown in found.lights.items()}
        assert not found.refused
        sells = commercial is not None and bool(commercial & {"Image", "Sell"})
        assert (light["pictures"] == "green") == (commercial is not None and "Image" in commercial and credit is True)
        assert (light["pictures"] == "red") == (commercial is not None and not sells)
        assert (light["pictures"] == "unknown") == (commercial is None or (sells and credit is None))
        assert light["credit"] == {True: "green", False: "red", None: "unknown"}[credit]
        assert (light["merges"] == "red") == (derivatives is False)
        assert (light["merges"] == "unknown") == (derivatives is not False and None in (derivatives, different, credit))
        assert light["merges"] != "green"  # Apache wants its text passed on
        assert (light["sell"] == "red") == (commercial is not None and ("Sell" not in commercial or not_(derivatives)))
        assert (light["sell"] == "unknown") == (
            commercial is None
            or ("Sell" in commercial and derivatives is not False and None in (derivatives, different, credit))
        )
        served = commercial is not None and bool(commercial & {"Rent", "RentCivit"})
        assert (light["services"] == "green") == (served and "Rent" in commercial and credit is True)
        assert (light["services"] == "red") == (commercial is not None and not served)
        assert (light["services"] == "unknown") == (commercial is None or (served and credit is None))
        for purpose in ("pictures", "services", "merges", "sell"):
            needs = "credit-needed" in [one.code for one in found.lights[purpose].reasons]
            assert needs == (credit is False and light[purpose] == "yellow"), purpose
        for purpose, shown in found.lights.items():
            assert (shown.light == "green") == (not shown.reasons), purpose
            assert all(str(reason).startswith("Ink: ") for reason in shown.reasons)
    assert count == 17 * 27


def not_(flag):
    return flag is False


@pytest.mark.parametrize("permissions", [Permissions(), Permissions(None, True, True, True)])
def test_what_is_not_known_is_never_green(permissions):
    found = lights(permissions)
    assert found["pictures"] == found["sell"] == found["services"] == "unknown"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["Image", "Rent"], {"Image", "Rent"}),
        ([], set()),
        (["None"], set()),
        (["Image", "Fly"], {"Image"}),
        (["Fly"], None),
        (["None", "Image"], None),
        ([1, None, {}], None),
        ("None", set()),
        ("Image", {"Image"}),
        ("RentCivit", {"Image", "RentCivit"}),
        ("Rent", {"Image", "RentCivit", "Rent"}),
        ("Sell", {"Image", "RentCivit", "Rent", "Sell"}),
        ("{Image,RentCivit}", {"Image", "RentCivit"}),
        ('{"Image", "Sell"}', {"Image", "Sell"}),
        ("{None}", set()),
        ("{}", set()),
        ("sell", None),
        ("", None),
        (None, None),
        (True, None),
        ({"Image": True}, None),
    ],
)
def test_commercial_uses_in_each_form_that_they_had(value, expected):
    assert commercial_of(value) == expected


@pytest.mark.parametrize("value", [1, 0, "true", "false", None, [], {}])
def test_a_flag_that_is_no_boolean_is_unknown(value):
    row = dict.fromkeys(("allowNoCredit", "allowDerivatives", "allowDifferentLicense"), value)
    found = permissions_of(row)
    assert (found.no_credit, found.derivatives, found.different, found.known) == (None, None, None, False)


def test_the_sites_own_sentences():
    said = dict(statements(Permissions(frozenset({"Image"}), False, True, None)))
    assert said == {
        "Use the model without crediting the creator": False,
        "Sell images they generate": True,
        "Run on services that generate for money": False,
        "Run on Civitai": False,
        "Share merges using this model": True,
        "Sell this model or merges using this model": False,
        "Have different permissions when sharing merges": None,
    }
    assert set(dict(statements(Permissions())).values()) == {None}


def test_permission_to_sell_the_model_alone_is_not_plainly_one_for_pictures():
    found = assess(model(Permissions(frozenset({"Sell"}), True, True, True)))
    assert found.lights["pictures"].light == "yellow"
    assert [one.code for one in found.lights["pictures"].reasons] == ["pictures-unclear"]


def test_who_must_be_credited_is_named():
    (reason,) = assess(model(Permissions(frozenset({"Image"}), False, True, True))).lights["pictures"].reasons
    assert (reason.code, "inka" in str(reason)) == ("credit-needed", True)


def test_of_a_checkpoint_it_is_said_that_nobody_has_settled_what_a_trained_lora_is():
    page = Permissions(frozenset({"Image"}), True, True, True)
    codes = [one.code for one in assess(model(page, kind="Checkpoint")).lights["sell"].reasons]
    assert codes[:2] == ["sell-forbidden", "trained-unsettled"]
    assert "trained-unsettled" not in [one.code for one in assess(model(page)).lights["sell"].reasons]


def test_a_real_person_is_warned_of_loudly_and_nothing_is_green():
    found = assess(model(poi=True))
    assert {shown.light for shown in found.lights.values()} == {"red"}
    assert [one.code for one in found.warnings] == ["real-person"]
    assert "REAL PERSON" in str(found.warnings[0])
    assert not found.refused


def test_a_child_is_refused():
    found = assess(model(minor=True))
    assert ({shown.light for shown in found.lights.values()}, found.refused) == ({"red"}, True)
    assert found.warnings[0].code == "minor"


@pytest.mark.parametrize("missing", ["poi", "minor"])
def test_who_is_shown_must_be_known(missing):
    found = lights(**{missing: None})
    assert set(found.values()) == {"unknown"}


@pytest.mark.parametrize(
    ("nsfw", "level", "expected"),
    [
        (False, 1, False),
        (False, 3, False),
        (False, 0, False),
        (None, 2, False),
        (None, 0, None),
        (True, 0, True),
        (True, 1, True),
        (False, 4, True),
        (None, 8, True),
        (False, 16 | 1, True),
        (False, 32, True),
    ],
)
def test_what_is_for_adults(nsfw, level, expected):
    subject = model(nsfw=nsfw, level=level)
    assert adult(subject) is expected
    assert ("adult" in [one.code for one in assess(subject).warnings]) is (expected is True)


def test_the_bits_of_a_level_have_names():
    assert levels(0) == []
    assert levels(1 | 4 | 16) == ["PG", "R", "XXX"]


def test_of_what_was_taken_down_nothing_is_permitted():
    found = assess(model(licence=FREE, mode="TakenDown"))
    assert {shown.light for shown in found.lights.values()} == {"unknown"}
    assert all("was-taken-down" in [one.code for one in shown.reasons] for shown in found.lights.values())
    assert assess(model(Permissions(frozenset(), True, True, True), mode="TakenDown")).lights["sell"].light == "red"


def test_archived_is_said():
    assert [one.code for one in assess(model(mode="Archived")).warnings] == ["archived"]


def test_taken_down_and_sfw_only_are_said():
    assert [one.code for one in assess(model(mode="TakenDown", sfw_only=True)).warnings] == ["taken-down", "sfw-only"]


@pytest.mark.parametrize(
    ("base", "pictures"),
    [("SD 1.5", "green"), ("SDXL 1.0", "green"), ("SDXL Turbo", "red"), ("NoobAI", "red"), ("Illustrious", "green")],
)
def test_the_base_models_own_licence_is_on_top(base, pictures):
    assert lights(base=base, licence=licence_of_base(base))["pictures"] == pictures


def test_an_unknown_base_model_is_said_as_unknown():
    assert licence_of_base("Brand New 9") is None
    found = assess(model(base="Brand New 9", licence=None))
    assert {found.lights[one].light for one in ("pictures", "merges", "sell", "services")} == {"unknown"}
    assert "Brand New 9" in str(found.lights["pictures"].reasons[0])


def test_a_licence_that_forbids_is_worse_than_one_that_is_unknown():
    assert worst(["green", "unknown", "yellow"]) == "unknown"
    assert worst(["unknown", "red"]) == "red"
    assert worst([]) == "unknown"
    assert [worst([one]) for one in LIGHTS] == list(LIGHTS)


def test_together_the_worst_light_counts_and_each_reason_is_said_once():
    credit = Permissions(frozenset(COMMERCIAL), False, True, True)
    base = assess(LicensedModel("Dream", "lyk", permissions=OPEN, base="SD 1.5", licence=FREE, poi=False, minor=False))
    lora = assess(model(credit, licence=FREE))
    both = together([base, lora, lora])
    assert [str(one) for one in both.lights["pictures"].reasons] == ["Ink: credit inka"]
    assert both.lights["pictures"].light == "yellow"
    for purpose in PURPOSES:
        assert both.lights[purpose].light == worst([base.lights[purpose].light, lora.lights[purpose].light])
    assert together([]).lights["pictures"].light == "unknown"
    assert together([base, assess(model(minor=True))]).refused
    assert both.adult is None
    assert together([lora, assess(model(level=8))]).adult is True
    assert together([lora]).adult is False


def test_values_are_plain_and_templates_are_listed():
    found = assess(model(Permissions(), poi=True, level=8))
    values = found.values()
    assert values["lights"]["pictures"]["light"] == "red"
    listed = templates()
    for shown in values["lights"].values():
        assert all(one["template"] in listed for one in shown["messages"])
    assert all(one["template"] in listed for one in values["warning_messages"])


def test_the_table_of_base_models_is_whole():
    assert len(bases()) > 30
    for base in bases():
        licence = licence_of_base(base)
        assert licence is not None
        assert licence.address.startswith("https://")
        assert licence.note.endswith(".")
        assert {licence.pictures, licence.services, licence.merges, licence.sell} <= {
            "allowed",
            "conditions",
            "forbidden",
            "unknown",
        }
        assert family_of_base(base) in ("", *family_names())
    assert family_of_base("Pony V7") == ""  # AuraFlow, whatever its name
    assert {family_of_base(base) for base in bases()} == {"", *family_names()}
