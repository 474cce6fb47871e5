"""The private names of Faust, mode and aiokafka that pipeline/worker and pipeline/kafka use.

The list is checked against the installed versions, and the code against the list: a test fails when a library changes a
name, and when the code uses a name that is not listed.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
HOOKS = sorted([*(ROOT / "pipeline/worker").glob("*.py"), *(ROOT / "pipeline/kafka").glob("*.py")])
"""The only modules that may use private names."""
OTHERS = sorted(set((ROOT / "pipeline").rglob("*.py")) - set(HOOKS))
NOT_OVERRIDES = {"__module__", "__doc__", "__annotations__", "__abstractmethods__", "_abc_impl"}
FOREIGN = ("faust", "mode", "aiokafka")
DRIVER = "faust.transport.drivers.aiokafka"

METHODS: dict[str, str] = {
    "faust.app.base:App._create_directories": "self",
    "faust.app.base:App._new_transport": "self",
    "faust.app.base:App.finalize": "self",
    "faust.stores.base:Store.__post_init__": "self",
    "faust.stores.base:Store.apply_changelog_batch": "self batch to_key to_value",
    "faust.stores.base:Store.backup_partition": "self tp flush purge keep",
    "faust.stores.base:Store.on_rebalance": "self assigned revoked newly_assigned generation_id",
    "faust.stores.base:Store.on_recovery_completed": "self active_tps standby_tps",
    "faust.stores.base:Store.persisted_offset": "self tp",
    "faust.stores.base:Store.reset_state": "self",
    "faust.stores.base:Store.restore_backup": "self tp latest backup_id",
    "faust.stores.base:Store.set_persisted_offset": "self tp offset",
    "faust.stores.base:Store.__getitem__": "self key",
    "faust.stores.base:Store.__setitem__": "self key value",
    "faust.stores.base:Store.__delitem__": "self key",
    "faust.stores.base:Store.__iter__": "self",
    "faust.stores.base:Store.__len__": "self",
    "faust.tables.table:Table.on_key_set": "self key value",
    "faust.tables.table:Table.on_key_del": "self key",
    "mode.utils.collections:ManagedUserDict.on_clear": "self",
    "mode.utils.collections:FastUserDict.__contains__": "self key",
    "mode.utils.collections:FastUserDict.keys": "self",
    "mode.utils.collections:FastUserDict.values": "self",
    "mode.utils.collections:FastUserDict.items": "self",
    "faust.tables.base:Collection._new_store": "self",
    "faust.assignor.partition_assignor:PartitionAssignor.assign": "self cluster member_metadata",
    "faust.assignor.partition_assignor:PartitionAssignor.assigned_actives": "self",
    f"{DRIVER}:Consumer._drain_messages": "self fetcher",
    f"{DRIVER}:Consumer._new_consumer_thread": "self",
    f"{DRIVER}:Consumer._get_active_partitions": "self",
    f"{DRIVER}:Consumer._getmany": "self active_partitions timeout",
    f"{DRIVER}:Consumer.wait": "self coros timeout",
    f"{DRIVER}:Consumer.ack": "self message",
    f"{DRIVER}:Consumer.commit": "self topics start_new_transaction",
    f"{DRIVER}:Consumer.highwaters": "self partitions",
    f"{DRIVER}:Consumer.perform_seek": "self",
    f"{DRIVER}:Consumer.verify_event_path": "self now tp",
    f"{DRIVER}:Consumer.wait_empty": "self",
    f"{DRIVER}:AIOKafkaConsumerThread.__post_init__": "self",
    f"{DRIVER}:AIOKafkaConsumerThread._create_worker_consumer": "self transport",
    f"{DRIVER}:AIOKafkaConsumerThread._ensure_consumer": "self",
    f"{DRIVER}:AIOKafkaConsumerThread._fetch_records": "self consumer active_partitions timeout max_records",
    f"{DRIVER}:AIOKafkaConsumerThread.__init__": "self consumer kwargs",
    f"{DRIVER}:AIOKafkaConsumerThread.call_thread": "self fun args kwargs",
    "mode.services:Service._stop_children": "self",
    "mode.services:Service._stop_exit_stacks": "self",
    "mode.services:Service._stop_futures": "self",
    "mode.services:Service._stopped_set": "self",
    "mode.services:Service.crash": "self reason",
    "mode.services:Service.maybe_start": "self",
    "mode.services:Service.on_stop": "self",
    "mode.services:Service.set_shutdown": "self",
    "mode.services:Service.start": "self",
    "mode.services:Service.stop": "self",
    "aiokafka.abc:AbstractTokenProvider.extensions": "self",
    "aiokafka.abc:AbstractTokenProvider.token": "self",
    "aiokafka.admin.client:AIOKafkaAdminClient._send_request": "self request node_id",
    "aiokafka.client:AIOKafkaClient.coordinator_lookup": "self coordinator_type coordinator_key",
    "aiokafka.client:AIOKafkaClient.get_random_node": "self",
    "aiokafka.client:AIOKafkaClient.ready": "self node_id group",
    "aiokafka.client:AIOKafkaClient.send": "self node_id request group",
    "aiokafka.conn:OAuthAuthenticator.step": "self payload",
    "aiokafka.consumer.group_coordinator:GroupCoordinator.check_errors": "self",
    "aiokafka.consumer.fetcher:Fetcher._proc_fetch_request": "self assignment node_id request",
    "aiokafka.consumer.fetcher:Fetcher.fetched_records": "self partitions timeout max_records",
    "aiokafka.consumer.subscription_state:SubscriptionState.fetch_context": "self",
    "aiokafka.consumer.subscription_state:Assignment.state_value": "self tp",
    "aiokafka.producer.message_accumulator:BatchBuilder._set_producer_state": "self producer_id producer_epoch base_sequence",
    "aiokafka.producer.message_accumulator:BatchBuilder._build": "self",
    "aiokafka.producer.message_accumulator:BatchBuilder.close": "self",
    "aiokafka.producer.message_accumulator:BatchBuilder.closed": "self",
    "aiokafka.producer.message_accumulator:BatchBuilder.record_count": "self",
    "aiokafka.producer.message_accumulator:BatchBuilder.size": "self",
    "aiokafka.producer.producer:AIOKafkaProducer.send_batch": "self batch topic partition",
    "aiokafka.producer.sender:Sender.__init__": "self client acks txn_manager message_accumulator retry_backoff_ms request_timeout_ms",
    "aiokafka.producer.sender:Sender._coordinator_dead": "self coordinator_type",
    "aiokafka.producer.sender:AddOffsetsToTxnHandler.__init__": "self sender group_id",
    "aiokafka.producer.sender:AddOffsetsToTxnHandler.do": "self node_id",
    "aiokafka.producer.sender:AddOffsetsToTxnHandler.handle_response": "self resp",
    "aiokafka.producer.sender:AddPartitionsToTxnHandler.__init__": "self sender topic_partitions",
    "aiokafka.producer.sender:AddPartitionsToTxnHandler.do": "self node_id",
    "aiokafka.producer.sender:AddPartitionsToTxnHandler.handle_response": "self resp",
    "aiokafka.producer.sender:Sender._do_add_offsets_to_txn": "self group_id",
    "aiokafka.producer.sender:Sender._do_add_partitions_to_txn": "self tps",
    "aiokafka.producer.sender:Sender._do_init_pid": "self node_id",
    "aiokafka.producer.sender:Sender._do_txn_offset_commit": "self offsets group_id",
    "aiokafka.producer.sender:Sender._find_coordinator": "self coordinator_type coordinator_key",
    "aiokafka.producer.sender:TxnOffsetCommitHandler.__init__": "self sender offsets group_id",
    "aiokafka.producer.sender:TxnOffsetCommitHandler.create_request": "self",
    "aiokafka.producer.sender:TxnOffsetCommitHandler.do": "self node_id",
    "aiokafka.producer.sender:TxnOffsetCommitHandler.handle_response": "self resp",
    "aiokafka.producer.transaction_manager:TransactionManager.error_transaction": "self exc",
    "aiokafka.producer.transaction_manager:TransactionManager.maybe_add_partition_to_txn": "self tp",
    "aiokafka.producer.transaction_manager:TransactionManager.offset_committed": "self tp offset group_id",
    "aiokafka.producer.transaction_manager:TransactionManager.wait_for_transaction_end": "self",
    "aiokafka.protocol.api:Request.build": "self request_struct_class",
    "aiokafka.protocol.produce:ProduceRequest.__init__": "self transactional_id required_acks timeout topics",
    "aiokafka.protocol.struct:Struct.encode": "self",
}
"""Path of a function to its parameters."""

ATTRIBUTES: dict[str, str] = {
    "faust.app.base:App": "consumer_generation_id conf assignor consumer",
    "faust.app.base:BootStrategy": "enable_kafka_producer enable_web",
    "faust.stores.base:Store": "app table loop",
    f"{DRIVER}:Consumer": "_thread _unacked_messages callback consumer_stopped_errors flow_active "
    "can_resume_flow should_stop loop",
    f"{DRIVER}:AIOKafkaConsumerThread": "_assignor _consumer consumer app",
    f"{DRIVER}:Transport": "Consumer",
    "mode.services:Service": "_crashed crash_reason wait_for_shutdown",
    "aiokafka.admin.client:AIOKafkaAdminClient": "_client",
    "aiokafka.client:AIOKafkaClient": "cluster",
    "aiokafka.cluster:ClusterMetadata": "add_listener brokers",
    "aiokafka.conn:OAuthAuthenticator": "_token_sent",
    "aiokafka.consumer.consumer:AIOKafkaConsumer": "_client _closed _coordinator _fetcher",
    "aiokafka.consumer.fetcher:FetchResult": "_partition_records",
    "aiokafka.consumer.fetcher:PartitionRecords": "_aborted_transactions next_fetch_offset",
    "aiokafka.consumer.fetcher:Fetcher": "_client _closed _fetch_task _fetcher_timeout _records _subscriptions",
    "aiokafka.consumer.group_coordinator:GroupCoordinator": "_pending_exception member_id generation",
    "aiokafka.consumer.subscription_state:SubscriptionState": "subscription",
    "aiokafka.consumer.subscription_state:Subscription": "assignment",
    "aiokafka.consumer.subscription_state:TopicPartitionState": "has_valid_position position lso",
    "aiokafka.producer.producer:AIOKafkaProducer": "_message_accumulator _sender _txn_manager client",
    "aiokafka.producer.sender:AddOffsetsToTxnHandler": "_sender",
    "aiokafka.producer.sender:AddPartitionsToTxnHandler": "_sender",
    "aiokafka.producer.sender:Sender": "_retry_backoff _txn_manager client",
    "aiokafka.producer.sender:TxnOffsetCommitHandler": "_group_id _offsets _sender",
    "aiokafka.producer.transaction_manager:TransactionManager": "producer_epoch producer_id transactional_id",
    "aiokafka.protocol.api:Request": "API_KEY _CLASSES",
    "aiokafka.protocol.fetch:FetchRequest": "_isolation_level _max_bytes _max_wait_ms _min_bytes _rack_id topics",
    "aiokafka.protocol.produce:ProduceRequest": "_required_acks _timeout _topics _transactional_id",
    "aiokafka.protocol.api:RequestStruct": "API_KEY API_VERSION FLEXIBLE_VERSION RESPONSE_TYPE SCHEMA",
    "aiokafka.protocol.api:Response": "API_KEY API_VERSION SCHEMA",
}
"""Class to attributes of its instances: assigned, annotated, or properties."""

INTERNAL: dict[str, str] = {
    "faust.app.base": "BootStrategy",
    "faust.assignor.partition_assignor": "PartitionAssignor",
    "faust.stores.base": "Store",
    "faust.transport.drivers": "aiokafka",
    "faust.types.tuples": "ConsumerMessage",
    "mode.services": "Service",
    "mode.utils.futures": "maybe_async",
    "aiokafka.client": "ConnectionGroup CoordinationType",
    "aiokafka.conn": "create_conn",
    "aiokafka.producer.sender": "AddOffsetsToTxnHandler AddPartitionsToTxnHandler BACKOFF_OVERRIDE Sender TxnOffsetCommitHandler",
    "aiokafka.coordinator.protocol": "ConsumerProtocolMemberAssignment",
    "aiokafka.protocol.admin": "ApiVersionRequest DescribeAclsRequest DescribeGroupsResponse_v3",
    "aiokafka.protocol.commit": "OffsetCommitRequest OffsetFetchRequest",
    "aiokafka.protocol.api": "Request RequestStruct Response",
    "aiokafka.protocol.fetch": "FetchRequest",
    "aiokafka.protocol.produce": "ProduceRequest",
    "aiokafka.record.default_records": "DefaultRecordBatch",
    "aiokafka.protocol.types": "Array Boolean CompactArray CompactString Int16 Int32 Int64 Schema String TaggedFields",
}
"""Internal module of a library to the names that are imported from it."""

PUBLIC = frozenset(
    {
        "faust",
        "faust.types",
        "aiokafka",
        "aiokafka.abc",
        "aiokafka.admin",
        "aiokafka.admin.config_resource",
        "aiokafka.errors",
        "aiokafka.partitioner",
        "aiokafka.structs",
    }
)
"""Documented modules of the libraries."""

LISTED = {place.rpartition(".")[2] for place in METHODS} | {n for names in ATTRIBUTES.values() for n in names.split()}


def find(place: str) -> Any:
    module, _, path = place.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found


def foreign(module: str | None) -> bool:
    return bool(module) and str(module).partition(".")[0] in FOREIGN


def test_installed_versions_are_the_pinned_ones() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = dict(re.findall(r"^([\w-]+)(?:\[\w+\])?==([\d.]+)$", "\n".join(project["dependencies"]), re.M))
    assert set(pinned) == {"faust-streaming", "mode-streaming", "aiokafka"}
    assert {name: version(name) for name in pinned} == pinned


@pytest.mark.parametrize("place", METHODS)
def test_functions_have_the_listed_parameters(place: str) -> None:
    assert " ".join(inspect.signature(find(place)).parameters) == METHODS[place]


@pytest.mark.parametrize("place", ATTRIBUTES)
def test_instances_have_the_listed_attributes(place: str) -> None:
    names = set(ATTRIBUTES[place].split())
    assert names <= attributes(find(place)), names - attributes(find(place))


@functools.cache
def attributes(cls: type) -> set[str]:
    """The attributes of a class's instances, from its code and that of its bases."""
    found: set[str] = set()
    for base in cls.__mro__:
        found |= set(vars(base)) | set(vars(base).get("__annotations__", {}))
        if foreign(base.__module__):
            found |= set(re.findall(r"\bself\.(\w+)(?:\s*:[^=\n]+)?\s*=[^=]", inspect.getsource(base)))
    return found


@pytest.mark.parametrize("module", INTERNAL)
def test_listed_internal_imports_exist(module: str) -> None:
    found = importlib.import_module(module)
    for name in INTERNAL[module].split():
        if not hasattr(found, name):
            importlib.import_module(f"{module}.{name}")


def test_aiokafka_sends_offset_commits_without_generation() -> None:
    """If this fails, aiokafka may make most of pipeline/kafka/fenced_producer.py unnecessary."""
    from aiokafka.protocol.transaction import TxnOffsetCommitRequest

    assert len(inspect.signature(TxnOffsetCommitRequest).parameters) == 5
    assert "generation" not in inspect.getsource(TxnOffsetCommitRequest)


def test_consumer_message_has_the_expected_parameters() -> None:
    from faust.types.tuples import ConsumerMessage

    names = list(inspect.signature(ConsumerMessage).parameters)
    assert names[:9] == [
        "topic",
        "partition",
        "offset",
        "timestamp",
        "timestamp_type",
        "headers",
        "key",
        "value",
        "checksum",
    ]
    assert names[9:12] == ["serialized_key_size", "serialized_value_size", "tp"]
    assert "generation_id" in names


# --- the list against the code ----------------------------------------------------------------------------------


def modules() -> Iterator[tuple[Path, ast.Module, ModuleType]]:
    for path in HOOKS:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        yield path, ast.parse(path.read_text()), importlib.import_module(name)


def subclasses() -> Iterator[tuple[type, list[type], ast.ClassDef]]:
    """The classes that inherit from the libraries, with those bases and their code."""
    for _, tree, module in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                cls = vars(module)[node.name]
                if bases := [base for base in cls.__mro__ if foreign(base.__module__)]:
                    yield cls, bases, node


def private(tree: ast.AST) -> Iterator[ast.Attribute]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and re.match(r"_[^_]", node.attr):
            yield node


def imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(module, name) of each import from the libraries."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and foreign(node.module):
            yield from ((str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if foreign(alias.name))


def test_used_private_attributes_are_listed() -> None:
    unlisted = []
    for path, tree, module in modules():
        own = {node for cls in ast.walk(tree) if isinstance(cls, ast.ClassDef) for node in own_of(cls, module)}
        unlisted += [
            f"{path.name}:{node.lineno}: {ast.unparse(node)}"
            for node in private(tree)
            if node not in own and node.attr not in LISTED and ast.unparse(node) != "os._exit"
        ]
    assert unlisted == []


def own_of(node: ast.ClassDef, module: ModuleType) -> Iterator[ast.Attribute]:
    """The private attributes of `self` that the class itself defines, not a base from the libraries."""
    cls = vars(module)[node.name]
    inherited = {name for base in cls.__mro__ if foreign(base.__module__) for name in attributes(base)}
    for used in private(node):
        is_own = isinstance(used.value, ast.Name) and used.value.id in ("self", "cls")
        if is_own and used.attr not in inherited:
            yield used


def test_overrides_are_listed_and_accept_the_parameters() -> None:
    seen = set()
    for cls, bases, _ in subclasses():
        for name, override in vars(cls).items():
            original = next((vars(base)[name] for base in bases if name in vars(base)), None)
            if original is None or name in NOT_OVERRIDES:
                continue
            seen.add(name)
            if not inspect.isfunction(override) or name == "__init__":
                continue
            assert name in LISTED, f"{cls.__name__}.{name}"
            if inspect.isfunction(original):
                given, taken = (
                    list(inspect.signature(function).parameters.values()) for function in (original, override)
                )
                variable = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in taken)
                assert variable or len(taken) == len(given), f"{cls.__name__}.{name}"
    assert {"_drain_messages", "_fetch_records", "on_rebalance", "create_request"} <= seen, "the scan finds nothing"


def test_own_attributes_do_not_hide_inherited_ones() -> None:
    for cls, bases, node in subclasses():
        inherited = set().union(*(attributes(base) for base in bases if base.__module__ != cls.__module__))
        for used in ast.walk(node):
            if (
                isinstance(used, ast.Attribute)
                and isinstance(used.ctx, ast.Store)
                and ast.unparse(used.value) == "self"
            ):
                assert used.attr not in inherited or used.attr in LISTED, f"{cls.__name__}.{used.attr}"


def test_internal_imports_are_exactly_the_listed_ones() -> None:
    found = {pair for _, tree, _ in modules() for pair in imported(tree) if pair[0] not in PUBLIC}
    assert found == {(module, name) for module, names in INTERNAL.items() for name in names.split()}


def test_only_the_worker_imports_faust() -> None:
    faust = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "pipeline").rglob("*.py"))
        if path.parent != ROOT / "pipeline/worker"
        for module, _ in imported(ast.parse(path.read_text()))
        if module.startswith(("faust", "mode"))
    ]
    assert faust == []


def test_other_packages_use_no_private_names() -> None:
    wrong = []
    for path in OTHERS:
        tree, name = ast.parse(path.read_text()), path.relative_to(ROOT)
        wrong += [f"{name}: {m}.{what}" for m, what in imported(tree) if m not in PUBLIC]
        if any(True for _ in imported(tree)):
            defined = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
            wrong += [
                f"{name}:{node.lineno}: {ast.unparse(node)}"
                for node in private(tree)
                if ast.unparse(node.value) not in ("self", "cls") and node.attr not in defined
            ]
    assert wrong == []


def test_listed_private_names_are_still_used() -> None:
    text = "\n".join(path.read_text() for path in HOOKS)
    unused = [name for name in sorted(LISTED) if not name.startswith("__") and not re.search(rf"\b{name}\b", text)]
    assert unused == []
