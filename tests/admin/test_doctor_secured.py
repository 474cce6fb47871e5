"""`doctor` on a broker and a registry with logins: the permissions that it needs, and those that it reports."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from pipeline.admin.doctor import Line, examine
from pipeline.kafka import acls
from pipeline.kafka.acls import Acl
from testkit.pipe import Pipe
from tests.support.secured import Secured, few_at_a_time, run, secured, settings, spellings, without

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """The two servers, shared by the tests of this module."""
    with secured(tmp_path_factory.mktemp("secured")) as found:
        yield found


async def examined(pipe: Pipe, env: dict[str, str]) -> dict[str, list[Line]]:
    """Run the checks as this user; return their lines by check."""
    found: dict[str, list[Line]] = {}
    for line in await examine(settings(pipe, env)):
        found.setdefault(line.check, []).append(line)
    return found


async def test_worker_permissions_suffice_and_each_missing_one_is_named(site: Secured) -> None:
    pipe = site.pipe()
    await pipe.set_up()
    needed = acls.worker(pipe.settings)
    whole = await examined(pipe, site.person("a-user", needed))
    assert {check for check, (line, *_) in whole.items() if line.state == "wrong"} == {"group"}, "no worker runs"
    assert whole["permissions"][0].found.startswith("user 'a-user' has the permissions of a worker")
    assert "SASL_SSL, as user 'a-user'" in whole["broker"][0].found
    assert whole["registry"][0].found.endswith(", with a login")
    assert "the controller's clock is unavailable to this user" in whole["clock"][0].found
    assert whole["lag"][0].state == whole["transactions"][0].state == "ok"

    async def one(acl: Acl, env: dict[str, str]) -> None:
        found = await examined(pipe, env)
        [line] = [line for line in found["permissions"] if line.state == "wrong"]
        assert line.found == f"user '{env['KAFKA_SASL_USERNAME']}' lacks {acl}, which a worker needs"
        assert line.remedy.startswith("`kafka-acls.sh --add ")
        assert len(found) == len(whole)
        assert "unexpected" not in str(found)

    await few_at_a_time([one(acl, env) for acl, env in without(site, needed)])


async def test_permissions_of_setup_and_worker_are_distinguished(site: Secured) -> None:
    pipe = site.pipe()
    await pipe.set_up()
    topic = pipe.topic("rooms")
    needed = [acl for acl in acls.worker(pipe.settings) if acl.name != topic or acl.operation == "DescribeConfigs"]
    found = await examined(pipe, site.person("half", needed))
    assert [(line.state, line.found.partition(" lacks ")[2]) for line in found["permissions"]] == [
        ("wrong", f"Read on topic {topic}, Write on topic {topic}, which a worker needs"),
        ("warning", f"Describe on topic {topic}, which `setup` needs"),
    ]


async def test_controller_clock_is_compared_with_describe_on_the_cluster(site: Secured) -> None:
    pipe = site.pipe()
    await pipe.set_up()
    env = site.person("a-timekeeper", acls.worker(pipe.settings))
    site.allow_describe_cluster("a-timekeeper")
    found = await examined(pipe, env)
    assert "of the controller's (±" in found["clock"][0].found.replace("ahead of", "of").replace("behind", "of")


async def test_rejected_login_is_reported_without_secrets(site: Secured) -> None:
    pipe = site.pipe()
    await pipe.set_up()
    env = pipe.env | site.person("out", acls.worker(pipe.settings))
    wrong = "Wr0ng/pass'word@é"
    for change, check, text in (
        ({"KAFKA_SASL_PASSWORD": wrong}, "broker", "rejected user 'out'"),
        ({"SCHEMA_REGISTRY_PASSWORD": wrong}, "registry", "rejected the login (401)"),
    ):
        code, out, err = await run("doctor", "--json", env=env | change)
        assert (code, err) == (1, "")
        lines = [json.loads(line) for line in out.splitlines()]
        [line] = [line for line in lines if line["check"] == check]
        assert text in line["found"]
        assert line["remedy"].startswith("check ")
        kept = (wrong, site.passwords["out"], site.passwords["reader"])
        assert [word for word in spellings(*kept) if word in out] == []
