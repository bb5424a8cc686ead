"""Looking into TLS: an authority of this process, certificates for hosts, and TLS over a wire. Hands.

The authority's key exists in memory only. Programs inside the sandbox trust it through bundles of
roots, which are files named by what is in them. Needs `cryptography`, the extra `octavo[mitm]`;
loaded only where a profile asks for it.
"""

import contextlib
import hashlib
import os
import ssl
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from octavo.policy.hosts import Host, Target
from octavo.protocol.errors import ConfigError, SandboxUnavailable
from octavo.proxy.wire import Wire

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError as missing:
    raise SandboxUnavailable(
        "limited mode has to look into encrypted connections, for which a library is missing",
        hint="install octavo[mitm], or set the network's mode to full",
    ) from missing

if TYPE_CHECKING:
    from octavo.policy.addresses import Address

DAY: Final = timedelta(days=1)
LEAF_DAYS: Final = 30
HOSTS: Final = 256
"""Certificates kept."""
PIECE: Final = 64 * 1024
KEPT_S: Final = 7 * 86_400
"""A bundle that no command was started with for so long is removed."""
BUNDLE_BYTES: Final = 16 * 1024 * 1024


class Interception:
    """The authority. Keep one for as long as commands run that trust it.

    `upstream`: how servers are verified; the system's roots if left out.
    """

    def __init__(self, upstream: ssl.SSLContext | None = None) -> None:
        self.upstream = upstream or ssl.create_default_context()
        self.upstream.set_alpn_protocols(["http/1.1"])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._authority = self._issue_authority()
        self.context = lru_cache(HOSTS)(self._context)

    @property
    def certificate(self) -> bytes:
        """The authority's, for bundles."""
        return self._authority.public_bytes(serialization.Encoding.PEM)

    async def client(self, wire: Wire, target: Target, seconds: float) -> "TlsWire":
        """A client's TLS, as if this were the host it wants. As `channel.Interceptor`."""
        made = TlsWire(wire, self.context(target.host))
        await made.handshake(seconds)
        return made

    async def server(self, wire: Wire, target: Target, seconds: float) -> "TlsWire":
        """TLS to the host itself, which has to prove who it is."""
        made = TlsWire(wire, self.upstream, server_hostname=target.host.name)
        await made.handshake(seconds)
        return made

    def _issue_authority(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Octavo, this process only")])
        now = datetime.now(UTC)
        public = self._key.public_key()
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + 365 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _leaf(self, host: Host) -> bytes:
        """The certificate of a host, as PEM."""
        now, public = datetime.now(UTC), self._leaf_key.public_key()
        address: Address | None = host.address
        name = x509.DNSName(host.name) if address is None else x509.IPAddress(address)
        # a common name holds 64 letters at most; what counts is the alternative name
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host.name[:64])])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._authority.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + LEAF_DAYS * DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)

    def _context(self, host: Host) -> ssl.SSLContext:
        """What a client is met with that wants to talk to a host."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        key = self._leaf_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        with for_a_moment(key + self._leaf(host)) as path:
            context.load_cert_chain(path)
        return context


@contextlib.contextmanager
def for_a_moment(data: bytes) -> Iterator[str]:
    """A path for a library that reads files only: in memory where the system can, else removed at once."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("octavo", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, data)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.TemporaryDirectory(prefix="octavo-") as folder:  # mode 0700
            path = Path(folder, "leaf.pem")
            path.write_bytes(data)
            yield str(path)


# ---- bundles ------------------------------------------------------------------------------------


def system_roots() -> bytes:
    """What this machine trusts, as PEM."""
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    return "".join(ssl.DER_cert_to_PEM_cert(one) for one in found).encode("ascii")


def write_bundle(folder: str, parts: Iterable[bytes]) -> str:
    """A file of roots, named by its content and never changed. Raises ConfigError."""
    data = b"\n".join(part.strip() for part in parts if part.strip()) + b"\n"
    path = Path(folder, f"ca-bundle-{hashlib.sha256(data).hexdigest()}.pem")
    try:
        if path.is_file() and path.read_bytes() == data:
            os.utime(path)
            return str(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(data)
        written = Path(file.name)
        written.chmod(0o644)
        written.replace(path)
        remove_old(path.parent)
    except OSError as wrong:
        reason = wrong.strerror or str(wrong)
        raise ConfigError(f"cannot be written: {reason}", file=str(path)) from wrong
    return str(path)


def remove_old(folder: Path) -> None:
    """Every process has an authority of its own, so bundles pile up; whose use is long past go."""
    before = time.time() - KEPT_S
    for one in folder.glob("ca-bundle-*.pem"):
        with contextlib.suppress(OSError):  # another process may be at it
            if one.stat().st_mtime < before:
                one.unlink()


def bundles(
    interception: Interception, folder: str, own: Iterable[tuple[str, str]]
) -> tuple[str, dict[str, str]]:
    """The bundle for commands, and one for each variable they had set (`env.given_bundles`).

    A file of theirs that cannot be read is left out. Raises ConfigError.
    """
    common = write_bundle(folder, (system_roots(), interception.certificate))
    merged = {}
    for name, path in own:
        try:
            with Path(path).open("rb") as file:
                given = file.read(BUNDLE_BYTES)
        except OSError:
            continue
        merged[name] = write_bundle(folder, (given, interception.certificate))
    return common, merged


# ---- TLS over a wire ----------------------------------------------------------------------------


class TlsWire:
    """A wire through TLS, used like a `Wire`; what was collected before belongs to it."""

    def __init__(
        self, wire: Wire, context: ssl.SSLContext, *, server_hostname: str | None = None
    ) -> None:
        self.buffer = bytearray()
        self.eof = False
        self.broken = False
        self._wire = wire
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._in,
            self._out,
            server_side=server_hostname is None,
            server_hostname=server_hostname,
        )

    async def handshake(self, seconds: float) -> None:
        """Raises ssl.SSLError, ConnectionError, TimeoutError."""
        until = self.within(seconds)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                if not await self._feed(until):
                    raise ConnectionResetError("TLS ended before it began") from None
            except ssl.SSLError:
                self._flush()  # the alert
                raise
            else:
                self._flush()
                return

    async def _feed(self, until: float | None) -> bool:
        if not self._wire.buffer and not await self._wire.fill(until):
            self._in.write_eof()
            return False
        self._in.write(self._wire.take(len(self._wire.buffer)))
        return True

    def _flush(self) -> None:
        if self._out.pending:
            self._wire.write(self._out.read())

    async def fill(self, until: float | None = None) -> bool:
        """As `Wire.fill`. An end without TLS's own goodbye counts as broken."""
        while not self.eof:
            try:
                data = self._tls.read(PIECE)
            except ssl.SSLWantReadError:
                self._flush()
                if not await self._feed(until):
                    self.eof = self.broken = True
            except ssl.SSLZeroReturnError:
                self.eof = True
            except ssl.SSLError:
                self._flush()
                self.eof = self.broken = True
            else:
                self.eof = not data
                self.buffer += data
                return bool(data)
        return False

    def take(self, count: int) -> bytes | bytearray:
        if count >= len(self.buffer):
            data, self.buffer = self.buffer, bytearray()
            return data
        part = bytes(self.buffer[:count])
        del self.buffer[:count]
        return part

    def write(self, data: bytes | bytearray) -> None:
        if self._wire.lost or not data:
            return
        try:
            self._tls.write(data)
        except ssl.SSLError:
            self._wire.abort()
        self._flush()

    def end(self) -> None:
        """TLS's goodbye; the other direction may live on."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()
        self._wire.end()

    @property
    def lost(self) -> bool:
        return self._wire.lost

    @property
    def writable(self) -> bool:
        return self._wire.writable

    def within(self, seconds: float) -> float:
        return self._wire.within(seconds)

    async def drain(self) -> None:
        await self._wire.drain()

    def close(self) -> None:
        self._wire.close()

    def abort(self) -> None:
        self._wire.abort()

    def reset(self) -> None:
        self._wire.reset()
