"""The way out for a process that may not build a lab, by the thing that it lacks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netns.capabilities import Capabilities
from netns.errors import PrivilegeError
from netns.privileges import way_out

ALL, NO_NET_ADMIN, NONE = "000001ffffffffff", "000001ffffffefff", "0000000000000000"
HOST, USER_NAMESPACE = "         0          0 4294967295\n", "         0       1000          1\n"


@pytest.mark.parametrize(
    ("user", "held", "uid_map", "said", "unsaid"),
    [
        (1000, NONE, HOST, "run it as root (sudo)", "lacks"),
        (
            0,
            NO_NET_ADMIN,
            HOST,
            "lacks CAP_NET_ADMIN; a container gets both with --cap-add",
            "sudo",
        ),
        (0, NONE, HOST, "lacks CAP_SYS_ADMIN and CAP_NET_ADMIN", "sudo"),
        (0, ALL, USER_NAMESPACE, "root is one of a user namespace only", "cap-add"),
        (0, ALL, HOST, "seccomp=unconfined", "sudo"),
    ],
)
def test_the_way_out_is_the_one_that_helps(
    user: int,
    held: str,
    uid_map: str,
    said: str,
    unsaid: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    (tmp_path / "status").write_text(f"Name:\tx\nCapPrm:\t{ALL}\nCapEff:\t{held}\n")
    (tmp_path / "uid_map").write_text(uid_map)
    assert said in way_out(tmp_path)
    assert unsaid not in way_out(tmp_path)


def test_a_privilege_error_says_what_and_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netns.errors.way_out", lambda: "ask the owner")
    error = PrivilegeError("may not do this")
    assert (error.what, str(error)) == ("may not do this", "may not do this: ask the owner")


def test_the_obstacle_of_a_host() -> None:
    able = Capabilities(privileged=True, tried=True, namespaces=True, veth=True, bridge=True)
    assert able.obstacle is None
    unprivileged = Capabilities(tried=True, veth=True, bridge=True, reasons={"privileged": "may not do it"})
    assert unprivileged.obstacle is not None
    assert unprivileged.obstacle.startswith("may not do it: ")
    as_root = unprivileged.as_root()
    assert as_root is not None
    assert as_root.obstacle is None
    assert Capabilities(reasons={"privileged": "may not do it"}).as_root() is None
    no_veth = Capabilities(privileged=True, namespaces=True, bridge=True, reasons={"veth": "no such kind"})
    assert no_veth.obstacle == "veth: no such kind"
