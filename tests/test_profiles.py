"""Profiles and the options in front of a command: which settings they give, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cli import _named
from pipeline.errors import ConfigError
from pipeline.profiles import profiles_file, use_options, use_profile
from pipeline.settings import VARIABLES
from testkit.fork_server import run
from tests.support.commands import no_servers

TEXT = """
[staging]
KAFKA_BOOTSTRAP_SERVERS = "staging:9092"
SCHEMA_REGISTRY_URL = "http://${REGISTRY_HOST}:8081"
PIPELINE_PARTITIONS = 6
PIPELINE_TRACE_CONTEXT = false

[prod]
KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:9"
SCHEMA_REGISTRY_URL = "http://127.0.0.1:9"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "profiles.toml"
    made.write_text(TEXT)
    return made


def used(name: str, file: Path, **environ: str) -> dict[str, str]:
    environ["CONFERENCE_PIPELINE_PROFILES"] = str(file)
    use_profile(name, environ, VARIABLES.values())
    del environ["CONFERENCE_PIPELINE_PROFILES"]
    return environ


def test_a_profile_replaces_the_servers_of_the_environment(file: Path) -> None:
    found = used(
        "staging",
        file,
        KAFKA_BOOTSTRAP_SERVERS="other:9092",
        KAFKA_SASL_USERNAME="other",
        PIPELINE_TOPIC_PREFIX="other",
        PIPELINE_LOG_LEVEL="debug",
        REGISTRY_HOST="registry",
    )
    assert found == {
        "KAFKA_BOOTSTRAP_SERVERS": "staging:9092",
        "SCHEMA_REGISTRY_URL": "http://registry:8081",
        "PIPELINE_PARTITIONS": "6",
        "PIPELINE_TRACE_CONTEXT": "false",
        "PIPELINE_LOG_LEVEL": "debug",
        "REGISTRY_HOST": "registry",
    }


def test_the_file_is_in_the_configuration_folder() -> None:
    assert profiles_file({"HOME": "/h"}) == Path("/h/.config/conference-pipeline/profiles.toml")
    assert profiles_file({"XDG_CONFIG_HOME": "/x"}) == Path("/x/conference-pipeline/profiles.toml")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (TEXT, "profile 'production' is not in FILE: known profiles: prod, staging"),
        ("", "profile 'production' is not in FILE: known profiles: none"),
        ("[production]\nKAFKA_BOOTSTRAP_SERVER = 'x'", "did you mean KAFKA_BOOTSTRAP_SERVERS?"),
        ("[production]\nKAFKA_SSL_CA = '${NOT_SET}'", "KAFKA_SSL_CA: the variable NOT_SET is not set"),
        ("[production]\nKAFKA_SSL_CA = ['x']", "KAFKA_SSL_CA: expected a string, a number or a boolean"),
        ("production = 1", "production is no profile: expected tables such as [staging]"),
        ("[production", "FILE: can't be read: "),
    ],
)
def test_a_wrong_profile_is_one_line(file: Path, text: str, error: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        used("production", file)
    shown = str(caught.value).replace(str(file), "FILE")
    assert error in shown
    assert "\n" not in shown


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no file .*none\.toml: write one"):
        used("x", tmp_path / "none.toml")


def test_one_server_of_two_is_refused() -> None:
    environ = {"SCHEMA_REGISTRY_URL": "http://x"}
    for options in ({"brokers": "b:1", "registry": None}, {"brokers": None, "registry": "http://r"}):
        with pytest.raises(ConfigError, match="would mix two environments: give both"):
            use_options(environ, **options, prefix=None)
    use_options(environ, brokers="b:1", registry="http://r", prefix="p")
    assert environ == {
        "KAFKA_BOOTSTRAP_SERVERS": "b:1",
        "SCHEMA_REGISTRY_URL": "http://r",
        "PIPELINE_TOPIC_PREFIX": "p",
    }


def test_the_command_is_found_behind_the_options() -> None:
    assert _named(["--brokers", "events", "--prefix=x", "send", "--brokers"]) == "send"
    assert _named(["--profile", "p"]) is None
    assert _named(["--version"]) is None
    assert _named(["evnts"]) is None


def test_options_in_front_of_a_command_name_its_servers(tmp_path: Path, file: Path) -> None:
    env = no_servers(tmp_path, CONFERENCE_PIPELINE_PROFILES=str(file))
    for options in (
        ["--brokers", "127.0.0.1:9", "--registry", "http://127.0.0.1:9"],
        ["--profile", "prod"],
        ["--profile=staging", "--brokers=127.0.0.1:9", "--registry=http://127.0.0.1:9"],
    ):
        done = run(*options, "events", env={**env, "REGISTRY_HOST": "r"})
        assert done.returncode == 2
        assert b"127.0.0.1:9" in done.stderr.splitlines()[-1]
        assert b"check KAFKA_BOOTSTRAP_SERVERS" in done.stderr.splitlines()[-1]
    done = run("--profile", "prd", "events", env=env)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert b"known profiles: prod, staging" in done.stderr
