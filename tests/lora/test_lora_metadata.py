"""Metadata: every key of the reference, as texts that A1111 and Forge can use."""

import json

import pytest
from faults import misfit
from make_golden import GOLDEN

from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.lora.file.metadata import LoraFacts, build, family_of, network_facts, text

# What kohya's train_network.py writes for SD1, SD2 and SDXL with a folder of photos; from the reference, 2.2.
KOHYA = (GOLDEN / "ss_keys.txt").read_text(encoding="utf-8").split()

FULL = LoraFacts(
    family="sdxl",
    trigger="mrxa",
    consent="fictional",
    saved_weight=0.85,
    identity_loss_weight=0.3,
    dataset_hash="ab" * 32,
    program_version="0.1.0",
    description="Mara",
    author="me",
    license="private",
    usage_hint="weight 0.8",
    tags="woman, face",
    thumbnail="data:image/jpeg;base64,AAAA",
    unet_dtype="bfloat16",
    vae_dtype="float32",
    session_id=17,
    training_started_at=1.5e9,
    training_finished_at=1600000000.25,
    output_name="mara-000100",
    training_comment="first try",
    steps=100,
    sd_model_name="base.safetensors",
    sd_model_hash="12345678",
    new_sd_model_hash="cd" * 32,
    vae_name="vae.pt",
    vae_hash="12345678",
    new_vae_hash="ef" * 32,
    clip_skip=2,
    resolution=(1024, 832),
    bucket_info={"buckets": {"0": {"resolution": [1024, 832], "count": 3}}, "mean_img_ar_error": 0.01},
    dataset_dirs={"mara": {"n_repeats": 1, "img_count": 24}},
    reg_dataset_dirs={},
    tag_frequency={"mara": {"mrxa woman": 24, "größe, 名前": 1}},
    face_crop_aug_range=(1.0, 2.0),
    gradient_checkpointing=True,
    learning_rate=1e-4,
)


def test_every_key_of_kohya_is_there_and_no_other():
    found = {key for key in build(FULL) if key.startswith("ss_")}
    assert found == set(KOHYA)
    assert len(KOHYA) == 87


def test_all_values_are_texts_in_kohyas_way():
    found = build(FULL)
    assert all(type(value) is str and type(key) is str for key, value in found.items())
    expected = {
        "ss_steps": "100",
        "ss_epoch": "None",
        "ss_v2": "False",
        "ss_base_model_version": "sdxl_base_v1-0",
        "ss_network_module": "networks.lora",
        "ss_gradient_checkpointing": "True",
        "ss_learning_rate": "0.0001",
        "ss_training_finished_at": "1600000000.25",
        "ss_resolution": "(1024, 832)",
        "ss_face_crop_aug_range": "(1.0, 2.0)",
        "ss_reg_dataset_dirs": "{}",
        "ss_min_snr_gamma": "None",
        "ss_training_comment": f"first try; trigger: mrxa; consent: fictional; dataset sha256: {'ab' * 32}",
        "sameface.version": "0.1.0",
        "sameface.consent": "fictional",
        "sameface.saved_weight": "0.85",
        "sameface.identity_loss_weight": "0.3",
        "sameface.dataset_sha256": "ab" * 32,
    }
    assert {key: found[key] for key in expected} == expected
    assert json.loads(found["ss_tag_frequency"]) == FULL.tag_frequency
    assert json.loads(found["ss_bucket_info"]) == FULL.bucket_info
    assert "größe, 名前" in found["ss_tag_frequency"]


def test_the_modelspec():
    found = {
        key.removeprefix("modelspec."): value for key, value in build(FULL).items() if key.startswith("modelspec.")
    }
    assert found == {
        "sai_model_spec": "1.0.1",
        "architecture": "stable-diffusion-xl-v1-base/lora",
        "implementation": "https://github.com/Stability-AI/generative-models",
        "title": "mara-000100",
        "resolution": "1024x832",
        "description": "Mara",
        "author": "me",
        "date": "2020-09-13T12:26:40+00:00",
        "license": "private",
        "usage_hint": "weight 0.8",
        "thumbnail": "data:image/jpeg;base64,AAAA",
        "tags": "woman, face",
        "trigger_phrase": "mrxa",
        "prediction_type": "epsilon",
        "timestep_range": "0,1000",
        "unet_dtype": "bfloat16",
        "vae_dtype": "float32",
    }


@pytest.mark.parametrize(
    ("family", "prediction", "architecture", "version", "v2"),
    [
        ("sd1", "epsilon", "stable-diffusion-v1/lora", "sd_v1", "False"),
        ("sd2", "epsilon", "stable-diffusion-v2-512/lora", "sd_v2", "True"),
        ("sd2", "v", "stable-diffusion-v2-768-v/lora", "sd_v2_v", "True"),
        ("sdxl", "v", "stable-diffusion-xl-v1-base/lora", "sdxl_base_v1-0", "False"),
    ],
)
def test_the_family_in_each_programs_words(family, prediction, architecture, version, v2):
    found = build(LoraFacts(family=family, prediction=prediction, clip_skip=2))
    assert found["modelspec.architecture"] == architecture
    assert found["modelspec.prediction_type"] == prediction
    assert (found["ss_base_model_version"], found["ss_v2"]) == (version, v2)
    assert found.get("modelspec.encoder_layer") == ("2" if family == "sd1" else None)
    assert family_of(found) == family


def test_with_nothing_known_no_key_breaks_a1111s_page():
    """It makes a number of the time and tables of the counts, so these must be right or absent."""
    found = build(LoraFacts(family="sd1"))
    absent = {"training_started_at", "training_finished_at", "dataset_dirs", "bucket_info", "tag_frequency"}
    assert not {f"ss_{name}" for name in absent} & set(found)
    assert found["ss_clip_skip"] == "None"
    assert not [key for key, value in found.items() if key.startswith(("modelspec.", "sameface.")) and value == "None"]


@pytest.mark.parametrize(
    ("claims", "family"),
    [
        ({}, None),
        ({"ss_base_model_version": "sdxl_base_v0-9"}, "sdxl"),
        ({"ss_v2": "True"}, "sd2"),
        ({"ss_v2": "False"}, "sd1"),
        ({"format": "pt"}, "sd1"),
    ],
)
def test_the_family_as_a1111_reads_it(claims, family):
    assert family_of(claims) == family


def test_the_facts_of_the_settings():
    plain = network_facts(LoraSettings(rank=8, alpha=4, te=False))
    assert plain == {"network_dim": 8, "network_alpha": 4, "network_dropout": None, "network_args": {}}
    settings = LoraSettings(
        rank=8, alpha=4, dropout=0.1, conv_rank=2, conv_alpha=1.5, te_rank=3, use_rslora=True, use_dora=True
    )
    found = build(LoraFacts(family="sd1", **network_facts(settings)))
    assert (found["ss_network_dim"], found["ss_network_alpha"], found["ss_network_dropout"]) == ("8", "4", "0.1")
    assert json.loads(found["ss_network_args"]) == {
        "conv_dim": "2",
        "conv_alpha": "1.5",
        "te_dim": "3",
        "te_alpha": "4",
        "te_dropout": "0.1",
        "rs_lora": "True",
        "dora_wd": "True",
        "wd_on_output": "False",
    }


def test_what_is_refused():
    with misfit("family", "sd3"):
        build(LoraFacts(family="sd3"))
    with misfit("prediction", "flow"):
        build(LoraFacts(family="sd1", prediction="flow"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        text({"loss": float("nan")})
    with pytest.raises(TypeError, match="sd_modle_name"):
        LoraFacts(family="sd1", sd_modle_name="x")
