"""One run per ROS domain."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from worldsample_bringup import cli
from worldsample_bringup.graph.domain import DomainClaim, DomainTaken, claim_domain
from worldsample_core.config import ConfigError
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


@pytest.mark.parametrize("text", ["x", "-1", "102", "²"])
def test_what_is_no_domain_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="0 to 101"):
        claim_domain("mine", {"ROS_DOMAIN_ID": text})


@pytest.mark.parametrize("command", [["train", "--machine", "cpu", "--quick"], ["check", "--cell"]])
def test_field_report_domain_300_is_one_sentence(
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROS_DOMAIN_ID", "300")
    assert cli.main(command) == 2
    told = capsys.readouterr()
    assert "ROS_DOMAIN_ID is '300': it must be a number from 0 to 101" in told.err
    assert "Traceback" not in told.err and not list(tmp_path.iterdir()), "nothing has begun"
