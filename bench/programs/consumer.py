# SPDX-License-Identifier: BSD-3-Clause
"""python-ldap's SyncreplConsumer, which stores nothing here: consumer.py SERVER BASE."""

import sys

import ldap
from ldap.ldapobject import SimpleLDAPObject
from ldap.syncrepl import SyncreplConsumer

from bench.programs.output import tell


class Consumer(SyncreplConsumer, SimpleLDAPObject):
    """Its own methods do nothing."""


server, base = sys.argv[1:]
consumer = Consumer(server)
consumer.simple_bind_s()
search = consumer.syncrepl_search(
    base, ldap.SCOPE_SUBTREE, filterstr="(objectClass=*)", attrlist=["*"]
)
while consumer.syncrepl_poll(search):
    pass
consumer.unbind_s()
tell()
