"""`doctor` on a broker and a registry that ask who you are: what it needs, and which permission it misses."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from pipeline.admin.doctor import Line, examine
from pipeline.kafka import acls
from pipeline.kafka.acls import Acl
from testkit.pipe import Pipe
from tests.kafka.test_security import few_at_a_time, run, settings, without
from tests.support.secured import Secured, secured, spellings

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """The two servers, for all tests of this module."""
    with secured(tmp_path_factory.mktemp("secured")) as found:
        yield found


async def looked_at(pipe: Pipe, env: dict[str, str]) -> dict[str, list[Line]]:
    """What `doctor` finds as this user, by check."""
    found: dict[str, list[Line]] = {}
    for line in await examine(settings(pipe, env)):
        found.setdefault(line.check, []).append(line)
    return found


async def test_the_doctor_needs_no_more_than_a_worker_has_and_names_what_is_missing(site: Secured) -> None:
    pipe = site.pipe()
    await pipe.set_up()
    needed = acls.worker(pipe.settings)
    whole = await looked_at(pipe, site.person("a-patient", needed))
    assert {check for check, (line, *_) in whole.items() if line.state == "wrong"} == {"group"}, (
        "no worker runs"
    )
    assert whole["permissions"][0].found.startswith("user 'a-patient' may do what a worker does")
    assert "SASL_SSL, as user 'a-patient'" in whole["broker"][0].found
    assert whole["registry"][0].found.endswith(", with a login")
    assert "the cluster doesn't tell its time to this user" in whole["clock"][0].found
    assert whole["lag"][0].state == whole["transactions"][0].state == "ok"

    async def one(acl: Acl, env: dict[str, str]) -> None:
        found = await looked_at(pipe, env)
        [line] = [line for line in found["permissions"] if line.state == "wrong"]
        assert line.found == f"user '{env['KAFKA_SASL_USERNAME']}' lacks {acl}, which a worker needs"
        assert line.remedy.startswith("`kafka-acls.sh --add ")
        assert len(found) == len(whole)
        assert "unexpected" not in str(found)

    await few_at_a_time([one(acl, env) for acl, env in without(site, needed)])


async def test_the_doctor_tells_setups_permissions_from_the_workers(site: Secured) -> None:
    pipe = site.pipe()
    await pipe.set_up()
    topic = pipe.topic("rooms")
    needed = [
        acl for acl in acls.worker(pipe.settings) if acl.name != topic or acl.operation == "DescribeConfigs"
    ]
    found = await looked_at(pipe, site.person("half", needed))
    assert [(line.state, line.found.partition(" lacks ")[2]) for line in found["permissions"]] == [
        ("wrong", f"Read on topic {topic}, Write on topic {topic}, which a worker needs"),
        ("warning", f"Describe on topic {topic}, which `setup` needs"),
    ]


async def test_the_doctor_tells_the_time_to_who_may_describe_the_cluster(site: Secured) -> None:
    pipe = site.pipe()
    await pipe.set_up()
    env = site.person("a-timekeeper", acls.worker(pipe.settings))
    site.let_describe_the_cluster("a-timekeeper")
    found = await looked_at(pipe, env)
    assert "of the controller's (±" in found["clock"][0].found.replace("ahead of", "of").replace(
        "behind", "of"
    )


async def test_the_doctor_who_is_not_let_in_says_so_without_secrets(site: Secured) -> None:
    pipe = site.pipe()
    await pipe.set_up()
    env = pipe.env | site.person("out", acls.worker(pipe.settings))
    wrong = "Wr0ng/pass'word@é"
    for change, check, told in (
        ({"KAFKA_SASL_PASSWORD": wrong}, "broker", "refused user 'out'"),
        ({"SCHEMA_REGISTRY_PASSWORD": wrong}, "registry", "refused us (401)"),
    ):
        code, out, err = await run("doctor", "--json", env=env | change)
        assert (code, err) == (1, "")
        lines = [json.loads(line) for line in out.splitlines()]
        [line] = [line for line in lines if line["check"] == check]
        assert told in line["found"]
        assert line["remedy"].startswith("check ")
        kept = (wrong, site.passwords["out"], site.passwords["reader"])
        assert [word for word in spellings(*kept) if word in out] == []
