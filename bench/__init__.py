# SPDX-License-Identifier: BSD-3-Clause
"""How fast it is, beside others: ``python -m bench --entries 1000 10000``."""
