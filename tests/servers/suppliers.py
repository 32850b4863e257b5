# SPDX-License-Identifier: BSD-3-Clause
"""Two 389-ds that replicate from one another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ldap

from tests.servers.ds389 import DS389
from tests.servers.replicas import wait_until

MANAGER, PASSWORD = "cn=replication manager,cn=config", "replication-secret"
HIDE_VECTOR = (
    b'(targetattr = "nsds50ruv")(version 3.0; acl "nobody reads the replica update vector";'
    b' deny (all) userdn = "ldap:///anyone";)'
)


class Supplier(DS389):
    """A 389-ds that replicates with another one."""

    def __init__(self, replica_id: int) -> None:
        """Nothing is started yet."""
        super().__init__()
        self._replica_id = replica_id
        self._agreement = ""

    def become_replica(self) -> None:
        with self.connected() as connection:
            manager = {
                "objectClass": [b"top", b"person"],
                "cn": [b"replication manager"],
                "sn": [b"manager"],
                "userPassword": [PASSWORD.encode()],
            }
            connection.add_s(MANAGER, list(manager.items()))
            replica = {
                "objectClass": [b"top", b"nsds5Replica"],
                "cn": [b"replica"],
                "nsDS5ReplicaRoot": [self.suffix.encode()],
                "nsDS5ReplicaType": [b"3"],
                "nsDS5Flags": [b"1"],
                "nsDS5ReplicaId": [b"%d" % self._replica_id],
                "nsDS5ReplicaBindDN": [MANAGER.encode()],
            }
            connection.add_s(self._replica(connection), list(replica.items()))

    def _replica(self, connection: Any) -> str:
        trees = connection.search_s(
            "cn=mapping tree,cn=config", ldap.SCOPE_ONELEVEL, f"(cn={self.suffix})", ["1.1"]
        )
        return f"cn=replica,{trees[0][0]}"

    def supply(self, other: Supplier, *, all_of_it: bool) -> None:
        """Hand on changes to the *other*, and first, if that is wanted, all of it."""
        attrs = {
            "objectClass": [b"top", b"nsds5ReplicationAgreement"],
            "cn": [b"other"],
            "nsDS5ReplicaHost": [b"127.0.0.1"],
            "nsDS5ReplicaPort": [b"%d" % other.port],
            "nsDS5ReplicaBindDN": [MANAGER.encode()],
            "nsDS5ReplicaCredentials": [PASSWORD.encode()],
            "nsDS5ReplicaBindMethod": [b"SIMPLE"],
            "nsDS5ReplicaTransportInfo": [b"LDAP"],
            "nsDS5ReplicaRoot": [self.suffix.encode()],
            "nsDS5ReplicaUpdateSchedule": [b"0000-2359 0123456"],
        }
        if all_of_it:
            attrs["nsDS5BeginReplicaRefresh"] = [b"start"]
        with self.connected() as connection:
            self._agreement = f"cn=other,{self._replica(connection)}"
            connection.add_s(self._agreement, list(attrs.items()))
        wait_until("the other one was not filled", self._has_supplied_all)

    def _has_supplied_all(self) -> bool:
        name = "nsds5BeginReplicaRefresh"
        with self.connected() as connection:
            found = connection.search_s(self._agreement, ldap.SCOPE_BASE, attrlist=[name])
        return not found[0][1]

    def hide_vector(self, *, hidden: bool) -> None:
        """Have nobody read the replica update vector, or everybody again; it is replicated."""
        change = ldap.MOD_ADD if hidden else ldap.MOD_DELETE
        with self.connected() as connection:
            connection.modify_s(self.suffix, [(change, "aci", [HIDE_VECTOR])])

    def has(self, dn: str) -> bool:
        """Say whether it has that entry."""
        with self.connected() as connection:
            try:
                return bool(connection.search_s(dn, ldap.SCOPE_BASE, attrlist=["1.1"]))
            except ldap.NO_SUCH_OBJECT:
                return False


@contextmanager
def suppliers() -> Iterator[tuple[Supplier, Supplier]]:
    """Two of them, with the same content."""
    with Supplier(1) as one, Supplier(2) as two:
        for each in (one, two):
            each.become_replica()
        one.supply(two, all_of_it=True)
        two.supply(one, all_of_it=False)
        yield one, two
