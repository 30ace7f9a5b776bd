"""Labs and the probe on restricted hosts: capabilities, user namespaces, limits, a read-only /proc/sys."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.ecco_netns

PROBE = """
import json
from netns.capabilities import KERNEL, probe_blocking
found = probe_blocking()
print(json.dumps({
    "obstacle": found.obstacle,
    "caveats": found.caveats,
    "kernel": found.tried and [getattr(found, name) for name in KERNEL],
}))
"""
LAB = """
import asyncio, subprocess, sys
from netns import Lab, LabError, LabSpec, LinkSpec, Shape
shape = Shape(rate_bps=1e6, delay_s=0.005)
spec = LabSpec(tuple(LinkSpec(f"n{i}", egress=shape) for i in range(int(sys.argv[1]))), engine=sys.argv[2])
async def main():
    try:
        async with Lab(spec) as lab:
            here = ["nsenter", f"--net={lab.namespace_path('n0')}", "cat", "/proc/net/if_inet6"]
            print(len(await lab.counters()), "nodes", "eth0" in subprocess.check_output(here, text=True))
            await asyncio.sleep(float(sys.argv[3]))
            assert (await lab.counters())["n0"].egress.bytes == 0
    except LabError as error:
        print(type(error).__name__, error)
asyncio.run(main())
"""
READ_ONLY = 'mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys; exec "$@"'


def under(restriction: list[str], script: str, *arguments: object) -> str:
    command = [*restriction, sys.executable, "-c", script, *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    ("restriction", "said"),
    [
        (["setpriv", "--bounding-set=-net_admin"], "this root lacks CAP_NET_ADMIN"),
        (["setpriv", "--bounding-set=-sys_admin"], "this root lacks CAP_SYS_ADMIN"),
        (["unshare", "-Urn"], "this root is one of a user namespace only"),
    ],
    ids=["no net_admin", "no sys_admin", "rootless"],
)
def test_the_probe_names_the_thing_that_is_lacking_and_knows_the_kernel(
    restriction: list[str], said: str
) -> None:
    whole = json.loads(under([], PROBE))
    assert whole["obstacle"] is None
    found = json.loads(under(restriction, PROBE))
    assert said in found["obstacle"]
    assert "modprobe" not in found["obstacle"]
    assert found["kernel"] in (whole["kernel"], False)  # False where the host forbids user namespaces


def test_the_soft_limit_on_open_files_is_raised_and_a_hard_one_is_told() -> None:
    soft = ["sh", "-c", 'ulimit -Sn 100; exec "$@"', "sh"]
    assert "60 nodes" in under(soft, LAB, 60, "relay", 0)
    hard = ["sh", "-c", 'ulimit -n 100; exec "$@"', "sh"]
    assert "CapabilityError too few open files are allowed" in under(hard, LAB, 60, "relay", 0)


def test_ipv6_is_silent_where_proc_sys_is_read_only() -> None:
    read_only = ["unshare", "-m", "sh", "-c", READ_ONLY, "sh"]
    # A second is enough for what IPv6 sends first: the probes for its own address.
    assert under(read_only, LAB, 2, "auto", 1).strip() == "2 nodes False"


WORKER = """
import asyncio
from ecco_emu.host.workers import WorkerProcess
async def main():
    worker = WorkerProcess("a test")
    print(await worker.call(len, "abcd"))
    worker.close()
if __name__ == "__main__":
    asyncio.run(main())
"""


def test_worker_processes_need_no_writable_dev_shm() -> None:
    no_shm = ["unshare", "-m", "sh", "-c", 'mount -o remount,ro /dev/shm; exec "$@"', "sh"]
    assert under(no_shm, WORKER).strip() == "4"
