# SPDX-License-Identifier: BSD-3-Clause
from collections.abc import Set as AbstractSet

NOT_HUMAN_READABLE_LDAP_SYNTAXES: AbstractSet[str]

class AttributeType: ...
class LDAPSyntax: ...
