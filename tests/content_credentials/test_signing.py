"""Signed pictures, looked at with the library's own reader."""

import io
import json
import os
from datetime import datetime, timedelta, timezone

import pytest
from faults import raises
from PIL import Image

from lib_lora import file_permissions
from lib_lora.content_credentials import certificates, signing
from lib_lora.pictures import Cell, parameters, parameters_of, save_picture
from lib_lora.provenance.source_type import GENERATED, address

c2pa = pytest.importorskip("c2pa", reason="the package c2pa-python is not installed")

KINDS = {"a.png": "image/png", "a.jpg": "image/jpeg"}


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    return certificates.home_made(tmp_path_factory.mktemp("certificate") / "c2pa-home-made.pem")


def picture(name):
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(stream, "PNG" if name.endswith("png") else "JPEG")
    return stream.getvalue()


def read(name, content):
    with c2pa.Reader(KINDS[name], io.BytesIO(content)) as reader:
        return json.loads(reader.json())


@pytest.mark.parametrize("name", KINDS)
def test_it_is_valid_and_says_that_it_is_generated(name, identity):
    found = read(name, signing.signed(name, picture(name), identity))
    assert found["validation_state"] == "Valid"
    assert [one["code"] for one in found["validation_status"]] == ["signingCredential.untrusted"]
    manifest = found["manifests"][found["active_manifest"]]
    assert manifest["claim_generator_info"][0]["name"] == "SameFace"
    (actions,) = [one["data"]["actions"] for one in manifest["assertions"] if one["label"].startswith("c2pa.actions")]
    assert [(one["action"], one["digitalSourceType"]) for one in actions] == [("c2pa.created", address(GENERATED))]


def test_a_changed_picture_is_no_longer_valid(identity):
    content = bytearray(signing.signed("a.jpg", picture("a.jpg"), identity))
    content[-10] ^= 1
    assert read("a.jpg", bytes(content))["validation_state"] == "Invalid"


def test_what_the_file_says_otherwise_stays(identity, tmp_path):
    cell = Cell("mrxa woman, 雪", "blurry", 7)
    save_picture(tmp_path / "a.png", Image.new("RGB", (64, 64)), cell)
    content = signing.signed("a.png", (tmp_path / "a.png").read_bytes(), identity)
    (tmp_path / "b.png").write_bytes(content)
    assert parameters_of(tmp_path / "b.png") == parameters(cell)
    with Image.open(tmp_path / "b.png") as image:
        assert "trainedAlgorithmicMedia" in image.text["XML:com.adobe.xmp"]


def test_a_home_made_certificate_is_kept_and_its_owners_alone(tmp_path):
    file_permissions.keep(tmp_path)
    path = tmp_path / "c2pa-home-made.pem"
    first = certificates.home_made(path)
    assert (first.home_made, first.algorithm) == (True, "es256")
    assert certificates.home_made(path) == first
    assert file_permissions.is_ours(path.name)
    if os.name != "nt":
        assert not path.stat().st_mode & 0o077
    path.write_text("damaged")
    assert certificates.home_made(path).chain != first.chain


def make_own(folder, key, days=30, signer=None):
    """A certificate that some authority has given somebody, with its chain, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    authority = ec.generate_private_key(ec.SECP256R1())
    root = certificates._certificate(certificates._name("root"), authority, None, authority)
    leaf = certificates._certificate(certificates._name("leaf"), key, certificates._name("root"), authority)
    if days < 0:
        past = datetime.now(timezone.utc) + timedelta(days=days)
        leaf = (
            x509.CertificateBuilder(leaf.issuer, leaf.subject, key.public_key(), 7, past - timedelta(days=9), past)
        ).sign(authority, hashes.SHA256())
    pem = serialization.Encoding.PEM
    (folder / "chain.pem").write_bytes(leaf.public_bytes(pem) + root.public_bytes(pem))
    form = serialization.PrivateFormat.TraditionalOpenSSL
    (folder / "key.pem").write_bytes((signer or key).private_bytes(pem, form, serialization.NoEncryption()))
    return folder / "chain.pem", folder / "key.pem"


@pytest.mark.parametrize(("curve", "algorithm"), [("SECP256R1", "es256"), ("SECP384R1", "es384")])
def test_a_certificate_of_the_users_own(tmp_path, curve, algorithm):
    from cryptography.hazmat.primitives.asymmetric import ec

    chain, key = make_own(tmp_path, ec.generate_private_key(getattr(ec, curve)()))
    identity = certificates.own(chain, key)
    assert (identity.algorithm, identity.home_made) == (algorithm, False)
    assert read("a.png", signing.signed("a.png", picture("a.png"), identity))["validation_state"] == "Valid"
    both = tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + chain.read_bytes())
    assert certificates.own(both) == identity


def test_what_cannot_sign(tmp_path):
    from cryptography.hazmat.primitives.asymmetric import ec

    with raises("file-missing"):
        certificates.own(tmp_path / "nothing.pem")
    key = ec.generate_private_key(ec.SECP256R1())
    chain, private = make_own(tmp_path, key, signer=ec.generate_private_key(ec.SECP256R1()))
    with raises("c2pa-certificate-unsuitable", "not that of the key"):
        certificates.own(chain, private)
    with raises("c2pa-certificate-unreadable"):
        certificates.own(chain)  # no key in it
    with raises("c2pa-certificate-unreadable"):
        certificates.own(private, private)
    with raises("c2pa-certificate-unsuitable", "today"):
        certificates.own(*make_own(tmp_path, key, days=-3))
    with raises("c2pa-certificate-unsuitable", "does not know"):
        certificates.own(*make_own(tmp_path, ec.generate_private_key(ec.SECP256K1())))


def test_a_picture_that_is_none_is_said(identity):
    with raises("c2pa-refused", "a.png"):
        signing.signed("a.png", b"no picture", identity)
