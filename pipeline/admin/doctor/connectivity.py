"""Whether the brokers and the registry can be reached, and whether the brokers have the required APIs."""

from __future__ import annotations

import time

from pipeline.admin.doctor.context import CheckContext, CheckResult
from pipeline.kafka.admin import broker_addresses, unsupported_apis
from pipeline.kafka.schema_registry import Registry
from pipeline.settings import Settings


async def check_brokers(context: CheckContext) -> list[CheckResult]:
    """Connect to each broker at the address that the cluster advertises."""
    async with context.admin() as admin:
        addresses = broker_addresses(admin)
        began = time.perf_counter()
        unsupported = {node: await unsupported_apis(admin, node) for node in addresses}
        seconds = (time.perf_counter() - began) / max(1, len(addresses))
    results = []
    for node, apis in unsupported.items():
        if apis is None:
            found = f"broker {node} can't be reached at its advertised address {addresses[node]}"
            remedy = "start it, or correct its advertised.listeners"
            results.append(CheckResult("wrong", found, remedy))
        elif apis:
            found = f"broker {node} at {addresses[node]} is too old: {', '.join(apis)}"
            results.append(CheckResult("wrong", found, "use Kafka 2.5 or newer"))
    if all(apis is None for apis in unsupported.values()):
        context.failed.add("broker")
    count = "1 broker" if len(addresses) == 1 else f"{len(addresses)} brokers"
    login = f"{context.settings.security_protocol}, {_login(context.settings)}"
    found = f"{count} by {login}; answers in {seconds * 1000:.0f} ms, has the required APIs"
    return results or [CheckResult("ok", found)]


def _login(settings: Settings) -> str:
    if settings.sasl_username:
        return f"as user {settings.sasl_username!r}"
    return "with a certificate" if settings.ssl_cert else "without a login"


async def check_registry(context: CheckContext) -> list[CheckResult]:
    """Read from the registry, and measure the time of a request."""
    settings = context.settings
    async with Registry(settings) as registry:
        began = time.perf_counter()
        await registry.ping()
        seconds = time.perf_counter() - began
    has_login = settings.registry_username or settings.registry_token.get_secret_value() or "@" in settings.registry_url
    login = "with a login" if has_login else "without a login"
    return [CheckResult("ok", f"{settings.registry_shown} answers in {seconds * 1000:.0f} ms, {login}")]
