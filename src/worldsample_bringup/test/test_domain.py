"""One run per ROS domain."""

from __future__ import annotations

import subprocess
import sys

import pytest

from worldsample_bringup.graph.domain import DomainClaim, DomainTaken, claim_domain
from worldsample_core.node.parent_death import die_with_parent

DOMAIN = 97


def test_a_second_run_on_a_domain_is_refused_with_the_first_ones_name() -> None:
    claim = DomainClaim(DOMAIN, "train in /runs/pushing")
    with pytest.raises(DomainTaken, match=r"train in /runs/pushing \(pid \d+\).*\n.*ROS_DOMAIN_ID=98"):
        DomainClaim(DOMAIN, "another")
    claim.release()
    DomainClaim(DOMAIN, "another").release()


def test_a_domain_is_free_again_when_its_holder_was_killed() -> None:
    code = f"""
import time
from worldsample_bringup.graph.domain import DomainClaim
claim = DomainClaim({DOMAIN}, "other")
print("held", flush=True)
time.sleep(60)
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent()
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(DomainTaken, match="other"):
        DomainClaim(DOMAIN, "me")
    holder.kill()
    holder.wait()
    DomainClaim(DOMAIN, "me").release()


def test_without_a_domain_the_first_free_one_is_taken() -> None:
    first = claim_domain("first", {})
    second = claim_domain("second", {})
    assert second.domain > first.domain
    first.release()
    second.release()


def test_the_domain_of_the_environment_is_kept() -> None:
    claim = claim_domain("mine", {"ROS_DOMAIN_ID": str(DOMAIN)})
    assert claim.domain == DOMAIN
    claim.release()


@pytest.mark.parametrize("text", ["x", "-1", "102"])
def test_what_is_no_domain_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="0 to 101"):
        claim_domain("mine", {"ROS_DOMAIN_ID": text})
