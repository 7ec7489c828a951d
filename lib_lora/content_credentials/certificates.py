"""Finds the certificate to sign with: the user's own, or a home-made one, which nobody else trusts.

Loads the package `cryptography` where it is needed; `c2pa-python` brings it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_lora.errors import UserError
from lib_lora.files import atomic_file, explained, opened

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, Name

_LONGEST = 1 << 20  # bytes of a file
_YEARS = 5  # that a home-made certificate holds
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}  # C2PA's names of what signs
_OWNER = "SameFace, home-made"


@dataclass(frozen=True)
class SigningIdentity:
    """What signs.

    Attributes:
        chain: certificates, the signer's first, in PEM.
        key: the signer's private key, PKCS #8 in PEM.
        algorithm: C2PA's name, such as "es256".
        home_made: nobody else trusts it.
    """

    chain: bytes
    key: bytes
    algorithm: str
    home_made: bool = False


def own(certificate: Path, key: Path | None = None) -> SigningIdentity:
    """The user's own certificate.

    Args:
        certificate: a PEM file, the signer's certificate first, then those that vouch for it.
        key: a PEM file with its private key, without a password; None = it is in the same file.

    Raises:
        UserError: a file cannot be read, or they do not belong together.
    """
    return _identity(_read(certificate), _read(key or certificate), certificate)


def home_made(path: Path) -> SigningIdentity:
    """A certificate of one's own making.

    Args:
        path: a PEM file with certificates and key; is written where there is none that still holds.

    Raises:
        UserError: it cannot be read or written.
    """
    if path.is_file():
        try:
            content = _read(path)
            return _identity(content, content, path, True)
        except UserError:
            pass  # damaged, or no longer valid: nothing depends on it being the same
    content = _made()
    with explained(path), atomic_file(path) as stream:
        stream.write(content)
    return _identity(content, content, path, True)


def _read(path: Path) -> bytes:
    with explained(path, "read"), opened(path) as stream:
        return stream.read(_LONGEST)


def _identity(certificates: bytes, key: bytes, path: Path, is_home_made: bool = False) -> SigningIdentity:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        chain = x509.load_pem_x509_certificates(certificates)
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:  # TypeError: it asks for a password
        raise UserError(
            f"{path} and its key cannot be used to sign: give certificates and a private key without a password, both "
            "as PEM.",
            code="c2pa-certificate-unreadable",
            file=path,
        ) from error
    said = _fault(chain[0], private)
    if said:
        raise UserError(f"{path} cannot be used to sign: {said}.", code="c2pa-certificate-unsuitable", file=path)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return SigningIdentity(
        b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain),
        private.private_bytes(*form),
        _algorithm(private),
        is_home_made,
    )


def _fault(certificate: Certificate, key: Any) -> str:
    """Why the two cannot sign."""
    if not _algorithm(key):
        return "its key is of a kind that C2PA does not know; it knows P-256, P-384, P-521, RSA and Ed25519"
    if certificate.public_key() != key.public_key():
        return "the first certificate is not that of the key"
    now = datetime.now(timezone.utc)
    if not _utc(certificate, "not_valid_before") <= now <= _utc(certificate, "not_valid_after"):
        return "its certificate does not hold today"
    return ""


def _utc(certificate: Certificate, name: str) -> datetime:
    found = getattr(certificate, f"{name}_utc")
    assert isinstance(found, datetime)
    return found


def _algorithm(key: Any) -> str:
    """C2PA's name of what a key signs with; empty = it does not know such keys."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _CURVES.get(key.curve.name, "")
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256" if key.key_size >= 2048 else ""
    return "ed25519" if isinstance(key, ed25519.Ed25519PrivateKey) else ""


def _made() -> bytes:
    """A certificate, the one that vouches for it, and its key. C2PA takes none that vouches for itself."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate(_name("authority"), authority, None, authority)
    leaf = _certificate(_name("pictures"), key, _name("authority"), authority)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return b"".join((leaf.public_bytes(pem), root.public_bytes(pem), private))


def _name(common: str) -> Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    names = ((NameOID.ORGANIZATION_NAME, _OWNER), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(what, text) for what, text in names])


def _certificate(
    subject: Name, key: EllipticCurvePrivateKey, issuer: Name | None, by: EllipticCurvePrivateKey
) -> Certificate:
    """A certificate for a key; without an issuer it is the one that vouches for others."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID

    begin, is_root = datetime.now(timezone.utc) - timedelta(days=1), issuer is None
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    builder: Callable[..., Any] = x509.KeyUsage
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(is_root, 0 if is_root else None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), False)
        .add_extension(
            builder(
                digital_signature=not is_root, key_cert_sign=is_root, crl_sign=is_root, decipher_only=False, **usage
            ),
            True,
        )
    )
    if not is_root:  # C2PA asks for one of a few purposes
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return made.sign(by, hashes.SHA256())
