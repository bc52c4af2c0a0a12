"""Imports of the fork server before it forks any node: all that nodes import. It ends with pytest."""

from __future__ import annotations

import os

from tests import forked_node as forked_node
from worldsample_core.node.parent_death import die_with

die_with(os.getppid())
