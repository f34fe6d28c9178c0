"""Credentials of a job: who has none is refused, and so are keys that others could have read."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")

from cryptography import x509
from distributed.comm import CommClosedError, connect, listen

from cubeengine.errors import LaunchError
from cubeengine.launch.tls import Credentials, check_private, make_credentials, read_security
from tests.waiting import PATIENCE

CREDENTIALS = make_credentials()


def talk(server: Any, address: Callable[[str], str], patience: float = PATIENCE, **options: Any) -> Any:
    """Connect to a listener that wants a certificate, and give its answer."""

    async def answer(comm: Any) -> None:
        await comm.write("hello")
        await comm.close()

    async def both() -> Any:
        wanted = server.get_listen_args("scheduler")
        async with listen("tls://127.0.0.1:0", answer, deserialize=False, **wanted) as listener:
            comm = await connect(address(listener.contact_address), timeout=patience, **options)
            try:
                return await asyncio.wait_for(comm.read(), patience)
            finally:
                comm.abort()

    running: Coroutine[Any, Any, Any] = both()
    return asyncio.run(running)


def same(address: str) -> str:
    return address


def test_both_sides_of_one_job_understand_one_another() -> None:
    security = CREDENTIALS.security()

    assert talk(security, same, **security.get_connection_args("client")) == "hello"


def test_client_without_a_certificate_is_refused() -> None:
    context = ssl.create_default_context(cadata=CREDENTIALS.authority)
    context.check_hostname = False

    with pytest.raises((OSError, CommClosedError)):
        talk(CREDENTIALS.security(), same, ssl_context=context)


def test_client_of_another_job_is_refused() -> None:
    other = make_credentials().security()

    with pytest.raises((OSError, CommClosedError)):
        talk(CREDENTIALS.security(), same, **other.get_connection_args("client"))


def test_client_without_encryption_is_refused() -> None:
    with pytest.raises((OSError, CommClosedError, TimeoutError)):
        talk(CREDENTIALS.security(), lambda address: address.replace("tls://", "tcp://"), patience=3)


def test_nothing_goes_out_without_encryption() -> None:
    arguments = CREDENTIALS.security().get_connection_args("client")

    with pytest.raises(RuntimeError, match="encryption required"):
        asyncio.run(connect("tcp://127.0.0.1:1", timeout=1, **arguments))


def test_lifetime_is_bounded_and_the_authority_signs_nothing_else() -> None:
    made = make_credentials(datetime.timedelta(hours=2))
    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    authority = x509.load_pem_x509_certificate(made.authority.encode())

    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(hours=1.9) < left <= datetime.timedelta(hours=2)
    certificate.verify_directly_issued_by(authority)
    assert authority.public_key() != certificate.public_key()


def test_secret_is_not_shown() -> None:
    secret = CREDENTIALS.key.splitlines()[1]

    assert secret not in repr(CREDENTIALS)
    assert secret not in str(CREDENTIALS.security())


def test_files_are_their_owners_alone_and_can_be_read_again(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    CREDENTIALS.save(tmp_path)

    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    security = read_security(tmp_path)
    assert talk(CREDENTIALS.security(), same, **security.get_connection_args("client")) == "hello"


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
def test_folder_that_others_may_enter_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(0o700)
    CREDENTIALS.save(tmp_path)
    tmp_path.chmod(mode)

    with pytest.raises(LaunchError, match=f"its mode is {mode:03o}; run  chmod 700"):
        read_security(tmp_path)


def test_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    CREDENTIALS.save(tmp_path)
    (tmp_path / "key.pem").chmod(0o644)

    with pytest.raises(LaunchError, match=r"key\.pem: key material must be readable by you alone"):
        read_security(tmp_path)


def test_nothing_is_written_into_a_folder_that_others_may_enter(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    with pytest.raises(LaunchError):
        CREDENTIALS.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_link_and_missing_folder_are_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)

    with pytest.raises(LaunchError, match="must not be a link"):
        check_private(link)
    with pytest.raises(LaunchError, match="cannot be read"):
        check_private(tmp_path / "none")


def test_plain_data_give_the_same_credentials() -> None:
    assert Credentials.from_dict(CREDENTIALS.to_dict()) == CREDENTIALS
