"""Imports of the fork server before it forks any node: all that nodes import. It ends with pytest."""

from __future__ import annotations

import os

from tests import forked_node as forked_node
from worldsample_core.node.imported_objects import keep_imported_objects
from worldsample_core.node.parent_death import die_with

keep_imported_objects()  # no node's collector writes to these pages, which all nodes share
die_with(os.getppid())
