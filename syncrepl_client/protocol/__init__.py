# SPDX-License-Identifier: BSD-3-Clause
"""RFC 4533: from bytes to messages, from messages to changes.  Does no I/O, looks at no clock."""
