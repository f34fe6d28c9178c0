"""Credentials of one job: who reaches a scheduler may run code as its user, so all show a certificate.

Every job makes an authority of its own, has it sign one certificate, and forgets the authority's key: from
then on nothing else is trusted. The key travels inside the job (over MPI), or lies in a folder that its owner
alone may enter; it is never in a spec, a log, a command line or a store.
"""

from __future__ import annotations

import datetime
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cubeengine.errors import LaunchError, MissingExtra

LIFETIME = datetime.timedelta(days=7)
"""Longer than batch jobs may run anywhere we know of; connections that exist then go on."""

CLOCK_SKEW = datetime.timedelta(hours=1)
"""By so much the clock of a node may be behind that of the one that made the certificate."""

FILES = {"authority": "ca.pem", "certificate": "cert.pem", "key": "key.pem"}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What scheduler, workers and client of one job show one another."""

    authority: str
    """Certificate of the job's authority, PEM. Its key is not kept."""
    certificate: str  # certificate that the authority signed, PEM
    key: str = field(repr=False)  # key of this certificate, PEM; secret

    def to_dict(self) -> dict[str, str]:
        """Return plain data, for the other ranks of a job only."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, str]) -> Credentials:
        """Take what `to_dict` gave."""
        return cls(values["authority"], values["certificate"], values["key"])

    def security(self) -> Any:
        """Return them as a `distributed.Security` that refuses whatever is not encrypted."""
        return security_of(self.authority, self.certificate, self.key)

    def save(self, folder: Path) -> Any:
        """Write them into a private folder and give a `distributed.Security` that reads them there.

        Raises
        ------
        LaunchError
            If others than the owner may look into the folder.
        """
        check_private(folder)
        for name, text in self.to_dict().items():
            _write_private(folder / FILES[name], text)
        return read_security(folder)


def read_security(folder: Path) -> Any:
    """Return the `distributed.Security` of the files that `Credentials.save` wrote into a folder.

    Raises
    ------
    LaunchError
        If a file is not there, or others than the owner may read the folder or one of its files.
    """
    check_private(folder)
    paths = [folder / name for name in FILES.values()]
    for path in paths:
        check_private(path)
    return security_of(*map(str, paths))


def check_private(path: Path) -> None:
    """Refuse a folder or file that others than its owner may use.

    Raises
    ------
    LaunchError
        If it belongs to someone else, its group or others have any right on it, or it is a link.
    """
    try:
        found = path.lstat()
    except OSError as err:
        raise LaunchError(f"{path}: the key material cannot be read: {err.strerror}") from err
    if stat.S_ISLNK(found.st_mode):
        raise LaunchError(f"{path}: key material must not be a link")
    if found.st_uid != os.geteuid():
        raise LaunchError(
            f"{path}: key material must belong to you, but its owner has user id {found.st_uid}"
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        wanted = "700" if stat.S_ISDIR(found.st_mode) else "600"
        raise LaunchError(
            f"{path}: key material must be readable by you alone, but its mode is {mode:03o}; "
            f"run  chmod {wanted} {path}  if nobody else can have read it; otherwise make new keys"
        )


def security_of(authority: str, certificate: str, key: str) -> Any:
    """Return a `distributed.Security` of three texts or three paths, the same for every role."""
    from distributed.security import Security

    shown = {
        f"tls_{role}_{part}": value
        for role in ("scheduler", "worker", "client")
        for part, value in (("cert", certificate), ("key", key))
    }
    return Security(tls_ca_file=authority, require_encryption=True, **shown)


def make_credentials(lifetime: datetime.timedelta = LIFETIME) -> Credentials:
    """Make the credentials of a job.

    Parameters
    ----------
    lifetime : timedelta
        From now; thereafter no new connection is accepted.

    Raises
    ------
    MissingExtra
        If the package `cryptography` is not installed.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID
    except ImportError as err:
        raise MissingExtra("encryption needs cryptography: pip install 'cubeengine[mpi]' or [slurm]") from err

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _signed(
        "cubeengine job authority",
        "cubeengine job authority",
        authority_key.public_key(),
        authority_key,
        lifetime,
        (x509.BasicConstraints(ca=True, path_length=0), _key_usage(authority=True)),
    )
    certificate = _signed(
        "cubeengine job",
        "cubeengine job authority",
        key.public_key(),
        authority_key,
        lifetime,
        (
            x509.BasicConstraints(ca=False, path_length=None),
            _key_usage(authority=False),
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
        ),
    )
    return Credentials(_certificate_pem(authority), _certificate_pem(certificate), _key_pem(key))


def _signed(
    subject: str,
    issuer: str,
    public_key: Any,
    signing_key: Any,
    lifetime: datetime.timedelta,
    extensions: tuple[Any, ...],
) -> Any:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(subject))
        .issuer_name(_named(issuer))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + lifetime)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=not isinstance(extension, x509.ExtendedKeyUsage))
    return builder.sign(signing_key, hashes.SHA256())


def _named(name: str) -> Any:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _key_usage(*, authority: bool) -> Any:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _certificate_pem(certificate: Any) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    text: bytes = certificate.public_bytes(Encoding.PEM)
    return text.decode()


def _key_pem(key: Any) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


def _write_private(path: Path, text: str) -> None:
    """Write a new file that is its owner's alone from the first moment."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
