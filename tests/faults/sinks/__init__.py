# SPDX-License-Identifier: BSD-3-Clause
"""A directory, a follower, a relay and a broker, each of which is killed in turn."""
