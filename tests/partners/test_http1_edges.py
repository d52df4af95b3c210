"""The client's edges: rubbish behind an answer, fields that belong to another answer, TLS, and places in the pool."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from partner_rig import http, raw_server
from test_http1 import ENOUGH_S, answer_to, ask, run, to

from order_service.partners.http1 import Connections, NoConnection, NotHttp

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x00\xff",
        b"nonsense\r\n\r\n",
        b"\r\n\r\nHTTP/9",
        b"HTTP/1.1 2",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"0\r\n\r\n",
    ],
)
def test_what_lies_behind_a_whole_answer_costs_the_connection_and_nobody_an_answer(rubbish: bytes) -> None:
    async def three() -> tuple[list[bytes | None], int]:
        said = iter([http(200, "first") + rubbish, http(200, "second"), http(200, "third")])

        async def say(writer: asyncio.StreamWriter) -> None:
            writer.write(next(said))

        async with raw_server(say, keep_open=True) as server:
            connections = to(server)
            bodies = [(await ask(connections)).body for _ in range(3)]
            connections.close()
            return bodies, server.connections

    assert run(three) == ([b"first", b"second", b"third"], 2)


@pytest.mark.parametrize("field", ["Content-Encoding: gzip", "Content-Length: 9999999", "Retry-After: 77"])
def test_the_fields_of_an_interim_answer_are_not_those_of_the_answer(field: str) -> None:
    answer = answer_to(b"HTTP/1.1 103 Early Hints\r\n" + field.encode() + b"\r\n\r\n" + http(503, "abc"))
    assert (answer.status, answer.body, answer.fault, answer.retry_after) == (503, b"abc", "", "")


@pytest.mark.parametrize("field", ["Content-Encoding: gzip", "Retry-After: 77", "X: y"])
def test_the_fields_behind_a_body_change_nothing(field: str) -> None:
    answer = answer_to(CHUNKED + b"2\r\nab\r\n0\r\n" + field.encode() + b"\r\n\r\n")
    assert (answer.status, answer.body, answer.fault, answer.retry_after) == (200, b"ab", "", "")


@pytest.mark.parametrize(
    "raw",
    [
        CHUNKED + b"zz\r\nab\r\n0\r\n\r\n",
        CHUNKED + b"2\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"ffffffffffffffffff\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 4000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n",
    ],
)
def test_what_could_be_read_in_two_ways_or_has_no_end_is_no_answer(raw: bytes) -> None:
    with pytest.raises(NotHttp):
        answer_to(raw)


def test_a_body_of_tiny_chunks_is_not_collected_for_ever() -> None:
    answer = answer_to(CHUNKED + b"1;" + b"e" * 60 + b"\r\na\r\n" * 1)
    assert (answer.body, answer.fault) == (None, "broken body")
    answer = answer_to(CHUNKED + (b"1;" + b"e" * 60 + b"\r\na\r\n") * 150_000)
    assert (answer.body, answer.fault) == (None, "body too large")


def test_an_address_of_version_six_keeps_its_brackets_where_they_belong() -> None:
    async def one() -> tuple[str, int, str]:
        found = Connections("http://[::1]:8099/base", limit=1, idle_s=1.0, max_body=1)
        return found._host, found._port, found._fields

    assert run(one) == ("::1", 8099, "Host: [::1]:8099\r\n")


def test_a_place_that_was_waited_for_is_free_when_its_connection_does_not_come_about() -> None:
    async def two() -> int:
        begun = 0
        both = asyncio.Event()

        async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal begun
            begun += 1
            if begun == 2:
                both.set()
            await asyncio.sleep(ENOUGH_S)  # nobody ever answers the handshake
            writer.close()

        listener = await asyncio.start_server(accept, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        pool = Connections(f"https://127.0.0.1:{port}", limit=1, idle_s=4.0, max_body=1)
        first = asyncio.ensure_future(pool.exchange("GET", "/x", "", None, pool.loop.time() + 0.2))
        second = asyncio.ensure_future(pool.exchange("GET", "/x", "", None, pool.loop.time() + ENOUGH_S))
        with pytest.raises(TimeoutError):
            await first
        async with asyncio.timeout(ENOUGH_S / 2):
            await both.wait()
        second.cancel()
        await asyncio.wait([second])
        listener.close()
        return begun

    assert run(two) == 2


# --- TLS ---


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for an address or a name, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "partner")])
    place = x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([place]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    own, secret = folder / "own.pem", folder / "key.pem"
    own.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return own, secret


def over_tls(folder: Path, name: str, *, times: int = 1) -> tuple[list[bytes | None], int]:
    """What a partner says over TLS that shows a certificate for `name`, and over how many connections."""
    own, secret = certificate(folder, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own, secret)

    async def asked() -> tuple[list[bytes | None], int]:
        opened = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal opened
            opened += 1
            try:
                while True:
                    await reader.readuntil(b"{}")
                    writer.write(http(200, "secret"))
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()

        listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        port = listener.sockets[0].getsockname()[1]
        pool = Connections(f"https://127.0.0.1:{port}", limit=2, idle_s=4.0, max_body=2**20)
        try:
            return [(await ask(pool)).body for _ in range(times)], opened
        finally:
            pool.close()
            listener.close()

    return run(asked)


def test_over_tls_a_partner_with_a_trusted_certificate_is_talked_to_on_one_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
    assert over_tls(tmp_path, "127.0.0.1", times=2) == ([b"secret", b"secret"], 1)


def test_over_tls_nothing_is_said_to_a_partner_whom_nobody_vouches_for(tmp_path: Path) -> None:
    with pytest.raises(NoConnection):
        over_tls(tmp_path, "127.0.0.1")


def test_over_tls_nothing_is_said_to_a_partner_with_somebody_elses_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
    with pytest.raises(NoConnection):
        over_tls(tmp_path, "elsewhere.example")
