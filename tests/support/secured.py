"""A real broker and a real registry with logins: TLS, SCRAM, an authorizer, basic auth.

The broker is a local stack's with additional listeners: SASL_SSL (SCRAM-SHA-512, SCRAM-SHA-256, PLAIN), and SSL, which
requires a client certificate. On the plain listener, the tests are the super user ANONYMOUS. The registry is the
stack's program with TLS and two users: `reader` may read, `writer` may also write.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import datetime
import ipaddress
import itertools
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
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from confluent_kafka import KafkaException
from confluent_kafka import admin as kafka
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from pipeline.devstack import Stack, apicurio, fetch, jvm
from pipeline.devstack.process import choose_port
from pipeline.devstack.progress import Progress
from pipeline.kafka.acls import Acl
from pipeline.settings import VARIABLES, Settings, load
from testkit import fork_server
from testkit.pipe import Pipe
from testkit.servers import PREFIX, Servers

HOST = "127.0.0.1"
SIDE_BY_SIDE = 3  # processes
numbers = itertools.count()
"""Numbers for the names of users, which all tests share."""
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
    """A certificate authority; it writes its certificates as PEM files into a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.ca = self._write(f"{name}.ca.pem", self._certificate(name, self._key).public_bytes(_PEM))

    def sign(self, name: str, *, password: str = "") -> tuple[str, str, str]:
        """Sign a certificate for `name`, localhost and 127.0.0.1; return the paths of it, its key, and both in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(name, key).public_bytes(_PEM)
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            encryption = serialization.BestAvailableEncryption(password.encode())
        secret = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, encryption)
        both = self._write(f"{name}.both.pem", secret + certificate)
        return self._write(f"{name}.cert.pem", certificate), self._write(f"{name}.key.pem", secret), both

    def _certificate(self, name: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        is_authority = name == self._name
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
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
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
    """The two servers. `plain` is the super user's address."""

    plain: str
    sasl: str
    mutual: str
    registry: str
    authority: Authority
    passwords: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.admin = kafka.AdminClient({"bootstrap.servers": self.plain, "log_level": 0})

    def users(self, *names: str, iterations: int = 4096) -> None:
        """Create SCRAM users with random passwords for both mechanisms; wait until the broker has them."""
        self.passwords |= {name: secrets.token_urlsafe(12) for name in names}
        for mechanism in (kafka.ScramMechanism.SCRAM_SHA_512, kafka.ScramMechanism.SCRAM_SHA_256):
            info = kafka.ScramCredentialInfo(mechanism, iterations)
            changes = [kafka.UserScramCredentialUpsertion(name, info, self.passwords[name].encode()) for name in names]
            for done in self.admin.alter_user_scram_credentials(changes).values():
                done.result(10)
        for name in names:
            while not self._has_user(name):
                time.sleep(0.01)

    def _has_user(self, name: str) -> bool:
        try:
            found = self.admin.describe_user_scram_credentials([name])[name].result(10)
        except KafkaException:
            return False  # no such user yet
        return len(found.scram_credential_infos) == 2

    def allow(self, user: str, acls: Iterable[Acl]) -> None:
        """Add these permissions; wait until the broker has them."""
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

    def allow_describe_cluster(self, user: str) -> None:
        """Add Describe on the cluster, which no role needs."""
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
        """Remove these permissions."""
        filters = [_binding(user, acl, kafka.AclBindingFilter) for acl in acls]
        for done in self.admin.delete_acls(filters).values():
            assert len(done.result(10)) == 1

    def pipe(self) -> Pipe:
        """Return new topics and a new group; the tests use them as super user."""
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
        """Create a user with these permissions; return the environment of its programs."""
        self.users(name)
        self.allow(name, needed)
        return self.env(name, registry)

    def env(self, user: str, registry: str = "reader") -> dict[str, str]:
        """Return the environment of a program that runs as this user."""
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


def fitting(env: dict[str, str]) -> dict[str, str]:
    """Return the environment without the variables that its security protocol makes ineffective."""
    protocol = env["KAFKA_SECURITY_PROTOCOL"]
    useless = [f"KAFKA_{kind}_" for kind in ("SASL", "SSL") if kind not in protocol.partition("_")[::2]]
    return {name: value for name, value in env.items() if not name.startswith(tuple(useless))}


def settings(pipe: Pipe, env: dict[str, str], **overrides: Any) -> Settings:
    """Return the settings of a process with this environment."""
    variables = {variable: name for name, variable in VARIABLES.items()}
    both = {**pipe.env, **env}
    return load(**{variables[key]: value for key, value in both.items() if key in variables}, **overrides)


def without(site: Secured, needed: list[Acl]) -> Iterator[tuple[Acl, dict[str, str]]]:
    """For each permission, create a user that lacks only it; yield the permission and the user's environment."""
    names = [f"without-{next(numbers)}" for _ in needed]
    site.users(*names)
    for name, left_out in zip(names, needed, strict=True):
        site.allow(name, [acl for acl in needed if acl is not left_out])
        yield left_out, site.env(name)


async def run(*arguments: str, env: dict[str, str], stdin: bytes = b"") -> tuple[int, str, str]:
    """Run a command; return exit code, standard output, standard error."""
    done = await asyncio.to_thread(fork_server.run, *arguments, env=env, stdin=stdin)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def few_at_a_time(jobs: list[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Run the jobs, `SIDE_BY_SIDE` at a time; return their results."""
    slots = asyncio.Semaphore(SIDE_BY_SIDE)

    async def limited(job: Coroutine[Any, Any, Any]) -> Any:
        async with slots:
            return await job

    return await asyncio.gather(*map(limited, jobs))


def _binding(user: str, acl: Acl, kind: type = kafka.AclBinding) -> kafka.AclBinding:
    pattern = kafka.ResourcePatternType.PREFIXED if acl.prefixed else kafka.ResourcePatternType.LITERAL
    allow = kafka.AclPermissionType.ALLOW
    return kind(RESOURCES[acl.kind], acl.name, pattern, f"User:{user}", "*", OPERATIONS[acl.operation], allow)


@contextlib.contextmanager
def secured(folder: Path) -> Iterator[Secured]:
    """Start both servers at the same time; stop them at the end of the block."""
    authority = Authority(folder, "authority")
    taken: set[int] = set()

    def port() -> int:
        taken.add(chosen := choose_port(None, taken, "tests"))
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
def _registry(folder: Path, authority: Authority, port: int, inner: int, passwords: dict[str, str]) -> Iterator[str]:
    """Start the stack's registry with TLS, basic auth and roles; its users are in its settings."""
    certificate, key, _ = authority.sign("registry")
    users = "quarkus.security.users.embedded"
    settings = {
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
    with registry_process(folder, settings, port + 0, inner):
        yield f"https://{HOST}:{port}/apis/ccompat/v7"


@contextlib.contextmanager
def registry_process(folder: Path, settings: dict[str, Any], port: int, inner: int) -> Iterator[None]:
    """Run the stack's registry with more settings; its log is in the folder."""
    app = fetch.registry_app(Progress(), threading.Event())
    machine = jvm.Jvm(jvm.server_archive("registry", [app]), 384, jvm.FAST_START)
    command = apicurio.command(folder, app, machine, (port, inner))
    at = command.index("-jar")
    command[at:at] = [f"-D{name}={value}" for name, value in settings.items()]
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"PATH": os.defpath},
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  # no threads yet
        )
    try:
        yield
    finally:
        process.kill()  # an orderly stop would first write a class archive
        process.wait()


def _die_with_parent() -> None:
    """End this process even when the tests are killed: no later run could find it."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait(url: str, authority: Authority) -> None:
    """Wait until the registry answers, even with an error."""
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
    """Return the encodings in which these passwords could appear in output."""
    found = []
    for word in passwords:
        found += [word, quote(word, safe=""), repr(word)[1:-1], json.dumps(word)[1:-1]]
        found += [b64encode(f"{user}:{word}".encode()).decode().rstrip("=") for user in ("reader", PLAIN_USER)]
        found += [b64encode(f"\0{user}\0{word}".encode()).decode().rstrip("=") for user in ("reader", PLAIN_USER)]
    return found
