# SPDX-License-Identifier: BSD-3-Clause
"""A SyncreplConsumer that stores nothing: consumer.py MODULE SERVER BASE, MODULE has the class."""

import sys
from importlib import import_module
from typing import Any

import ldap
from ldap.ldapobject import SimpleLDAPObject

from bench.programs.output import tell

module, server, base = sys.argv[1:]
mixin: Any = import_module(module).SyncreplConsumer


class Consumer(mixin, SimpleLDAPObject):  # type: ignore[misc]
    """Its own methods do nothing."""


consumer = Consumer(server)
consumer.simple_bind_s()
search = consumer.syncrepl_search(
    base, ldap.SCOPE_SUBTREE, filterstr="(objectClass=*)", attrlist=["*"]
)
while consumer.syncrepl_poll(search):
    pass
consumer.unbind_s()
tell()
