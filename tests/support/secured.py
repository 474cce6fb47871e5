"""A real broker and a real registry that ask who you are: TLS, SCRAM, an authorizer, basic auth.

The broker is a local stack's, with listeners besides its plain one, on which the tests, as ANONYMOUS, are a super
user: SASL_SSL (SCRAM-SHA-512, SCRAM-SHA-256, PLAIN), and SSL, which asks for a certificate. The registry is the
stack's program with TLS and two users: `reader` may read, `writer` may write, too.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import ipaddress
import json
import os
import secrets
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from confluent_kafka import KafkaException
from confluent_kafka import admin as kafka
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from pipeline.devstack import Stack, apicurio, fetch, jvm, ports
from pipeline.devstack.progress import Silent
from pipeline.kafka.acls import Acl
from testkit.pipe import Pipe
from testkit.servers import PREFIX, Servers

HOST = "127.0.0.1"
PLAIN_USER, PLAIN_PASSWORD = "plain-user", secrets.token_urlsafe(12)
OPERATIONS = {
    "Read": kafka.AclOperation.READ,
    "Write": kafka.AclOperation.WRITE,
    "Create": kafka.AclOperation.CREATE,
    "Describe": kafka.AclOperation.DESCRIBE,
    "DescribeConfigs": kafka.AclOperation.DESCRIBE_CONFIGS,
}
RESOURCES = {
    "topic": kafka.ResourceType.TOPIC,
    "group": kafka.ResourceType.GROUP,
    "transactional-id": kafka.ResourceType.TRANSACTIONAL_ID,
}


class Authority:
    """A certificate authority of its own, and what it signs, as PEM files in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.ca = self._write(f"{name}.ca.pem", self._certificate(name, self._key).public_bytes(_PEM))

    def sign(self, name: str, *, password: str = "") -> tuple[str, str, str]:
        """Paths of a certificate for `name` (and localhost, 127.0.0.1), its key, and both in one."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(name, key).public_bytes(_PEM)
        lock: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            lock = serialization.BestAvailableEncryption(password.encode())
        secret = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, lock)
        whole = self._write(f"{name}.both.pem", secret + certificate)
        return self._write(f"{name}.cert.pem", certificate), self._write(f"{name}.key.pem", secret), whole

    def _certificate(self, name: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        own = name == self._name
        now = datetime.datetime.now(datetime.UTC)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]
        return (
            x509.CertificateBuilder()
            .subject_name(_called(name))
            .issuer_name(_called(self._name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=own, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _write(self, name: str, content: bytes) -> str:
        path = self._folder / name
        path.write_bytes(content)
        return str(path)


_PEM = serialization.Encoding.PEM


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


@dataclass
class Secured:
    """The two servers. `plain` is the super user's way in."""

    plain: str
    sasl: str
    mutual: str
    registry: str
    authority: Authority
    passwords: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.admin = kafka.AdminClient({"bootstrap.servers": self.plain, "log_level": 0})

    def users(self, *names: str, iterations: int = 4096) -> None:
        """Make SCRAM users with passwords of their own, for both mechanisms, and return when the broker knows them."""
        self.passwords |= {name: secrets.token_urlsafe(12) for name in names}
        for mechanism in (kafka.ScramMechanism.SCRAM_SHA_512, kafka.ScramMechanism.SCRAM_SHA_256):
            info = kafka.ScramCredentialInfo(mechanism, iterations)
            changes = [
                kafka.UserScramCredentialUpsertion(name, info, self.passwords[name].encode())
                for name in names
            ]
            for done in self.admin.alter_user_scram_credentials(changes).values():
                done.result(10)
        for name in names:
            while not self._knows(name):
                time.sleep(0.01)

    def _knows(self, name: str) -> bool:
        try:
            found = self.admin.describe_user_scram_credentials([name])[name].result(10)
        except KafkaException:
            return False  # no such user, yet
        return len(found.scram_credential_infos) == 2

    def allow(self, user: str, acls: Iterable[Acl]) -> None:
        """Give these permissions, and return when the broker has them."""
        bindings = [_binding(user, acl) for acl in acls]
        for done in self.admin.create_acls(bindings).values() if bindings else ():
            done.result(10)
        everything = kafka.AclBindingFilter(
            kafka.ResourceType.ANY,
            None,
            kafka.ResourcePatternType.ANY,
            f"User:{user}",
            None,
            kafka.AclOperation.ANY,
            kafka.AclPermissionType.ANY,
        )
        while len(self.admin.describe_acls(everything).result(10)) < len(bindings):
            time.sleep(0.01)

    def let_describe_the_cluster(self, user: str) -> None:
        """What none of the roles needs."""
        binding = kafka.AclBinding(
            kafka.ResourceType.BROKER,
            "kafka-cluster",
            kafka.ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            kafka.AclOperation.DESCRIBE,
            kafka.AclPermissionType.ALLOW,
        )
        for done in self.admin.create_acls([binding]).values():
            done.result(10)

    def forbid(self, user: str, acls: Iterable[Acl]) -> None:
        """Take these permissions away."""
        filters = [_binding(user, acl, kafka.AclBindingFilter) for acl in acls]
        for done in self.admin.delete_acls(filters).values():
            assert len(done.result(10)) == 1

    def pipe(self) -> Pipe:
        """Topics and a group of its own, on which the tests act as super user."""
        made = Pipe(Servers(self.plain, self.registry, "secured"))
        login = {
            "registry_username": "writer",
            "registry_password": SecretStr(self.passwords["writer"]),
            "registry_ca": self.authority.ca,
        }
        made.settings = made.settings.model_copy(update=login)
        made.env["PIPELINE_SESSION_TIMEOUT_SECONDS"] = "2"
        return made

    def person(self, name: str, needed: Iterable[Acl], registry: str = "reader") -> dict[str, str]:
        """A new user with these permissions; its environment."""
        self.users(name)
        self.allow(name, needed)
        return self.env(name, registry)

    def env(self, user: str, registry: str = "reader") -> dict[str, str]:
        """The environment of a program that is this user."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.sasl,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": self.passwords[user],
            "KAFKA_SSL_CA": self.authority.ca,
            "SCHEMA_REGISTRY_URL": self.registry,
            "SCHEMA_REGISTRY_USERNAME": registry,
            "SCHEMA_REGISTRY_PASSWORD": self.passwords[registry],
            "SCHEMA_REGISTRY_SSL_CA": self.authority.ca,
        }


def _binding(user: str, acl: Acl, kind: type = kafka.AclBinding) -> kafka.AclBinding:
    pattern = kafka.ResourcePatternType.PREFIXED if acl.prefixed else kafka.ResourcePatternType.LITERAL
    allow = kafka.AclPermissionType.ALLOW
    return kind(RESOURCES[acl.kind], acl.name, pattern, f"User:{user}", "*", OPERATIONS[acl.operation], allow)


@contextlib.contextmanager
def secured(folder: Path) -> Iterator[Secured]:
    """Start both, at once; they end with the block."""
    authority = Authority(folder, "authority")
    taken: set[int] = set()

    def port() -> int:
        taken.add(chosen := ports.choose(None, taken, "tests"))
        return chosen

    sasl, mutual, https = port(), port(), port()
    passwords = {"reader": secrets.token_urlsafe(12), "writer": secrets.token_urlsafe(12)}
    with contextlib.ExitStack() as closing:
        stack = Stack(
            f"{PREFIX}{os.getpid()}-secured",
            registry=False,
            extra_properties=_broker(authority, sasl, mutual),
        )
        closing.callback(stack.down)
        url = closing.enter_context(_registry(folder, authority, https, port(), passwords))
        plain = stack.up().bootstrap_servers
        assert plain
        _wait(url, authority)
        yield Secured(plain, f"{HOST}:{sasl}", f"{HOST}:{mutual}", url, authority, passwords)


def _broker(authority: Authority, sasl: int, mutual: int) -> dict[str, str]:
    tls = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": authority.sign("broker")[2],
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": authority.ca,
    }
    outer = f"PLAINTEXT://{HOST}:{{client}},SASL_SSL://{HOST}:{sasl},SSL://{HOST}:{mutual}"
    plain = "listener.name.sasl_ssl.plain.sasl.jaas.config"
    modules = "org.apache.kafka.common.security"
    return {
        **tls,
        "listeners": f"{outer},CONTROLLER://{HOST}:{{controller}}",
        "advertised.listeners": outer,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:PLAINTEXT",
        "listener.name.ssl.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{modules}.scram.ScramLoginModule required;",
        "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": f"{modules}.scram.ScramLoginModule required;",
        plain: f'{modules}.plain.PlainLoginModule required user_{PLAIN_USER}="{PLAIN_PASSWORD}";',
        "group.min.session.timeout.ms": "1000",
        "connection.failed.authentication.delay.ms": "0",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }


@contextlib.contextmanager
def _registry(
    folder: Path, authority: Authority, port: int, inner: int, passwords: dict[str, str]
) -> Iterator[str]:
    """The stack's registry with TLS, basic auth and roles; its own users, kept in its settings."""
    certificate, key, _ = authority.sign("registry")
    users = "quarkus.security.users.embedded"
    more = {
        "quarkus.http.ssl-port": port,
        "quarkus.http.insecure-requests": "disabled",
        "quarkus.http.ssl.certificate.files": certificate,
        "quarkus.http.ssl.certificate.key-files": key,
        "quarkus.http.auth.basic": "true",
        "quarkus.http.auth.permission.all.paths": "/*",
        "quarkus.http.auth.permission.all.policy": "authenticated",
        f"{users}.plain-text": "true",
        f"{users}.roles.reader": "sr-readonly",
        f"{users}.roles.writer": "sr-developer,sr-admin",
        "apicurio.auth.role-based-authorization": "true",
        **{f"{users}.users.{name}": password for name, password in passwords.items()},
    }
    app = fetch.registry_app(Silent(), threading.Event())
    machine = jvm.Jvm(jvm.server_archive("registry", [app]), 384, jvm.FAST_START)
    command = apicurio.command(folder, app, machine, (port + 0, inner))
    at = command.index("-jar")
    command[at:at] = [f"-D{name}={value}" for name, value in more.items()]
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"PATH": os.defpath},
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_us if sys.platform == "linux" else None,  # noqa: PLW1509  # no threads yet
        )
    try:
        yield f"https://{HOST}:{port}/apis/ccompat/v7"
    finally:
        process.kill()  # nothing of it is wanted: an orderly end would write a class archive first
        process.wait()


def _die_with_us() -> None:
    """Also when the tests are killed: it keeps no state that a later run could find it by."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait(url: str, authority: Authority) -> None:
    """Return when it answers, be it with a refusal."""
    context = ssl.create_default_context(cafile=authority.ca)
    limit = time.monotonic() + 240
    while True:
        try:
            urllib.request.urlopen(f"{url}/subjects", timeout=2, context=context)
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            assert time.monotonic() < limit, "the registry does not start"
            time.sleep(0.1)


def spellings(*passwords: str) -> list[str]:
    """In how many ways a secret can be written."""
    found = []
    for word in passwords:
        found += [word, quote(word, safe=""), repr(word)[1:-1], json.dumps(word)[1:-1]]
        found += [
            b64encode(f"{user}:{word}".encode()).decode().rstrip("=") for user in ("reader", PLAIN_USER)
        ]
        found += [
            b64encode(f"\0{user}\0{word}".encode()).decode().rstrip("=") for user in ("reader", PLAIN_USER)
        ]
    return found
