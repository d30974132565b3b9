"""``nvidia-smi`` for tests of the boot script: a few GPUs as a state machine, kept in a JSON file.

``NODE`` names a folder: ``gpus.json`` is the state, ``calls`` gets a line for each call.  What it prints is worded
as drivers 550 to 580 word it; errors go to stdout, as they do there.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

NODE = Path(os.environ["NODE"])
ALL = {
    "gpus": [],  # of current, pending, and instances of profile and compute
    "driver_after": 0,  # calls of -L that fail first
    "switches": "at once",  # or "by a reboot", "by nothing", "never": what takes -mig 1 to take effect
    "in_use": False,  # whether instances cannot be removed
    "refused": None,  # a profile that cannot be made
    "made_instead": {},  # a profile by another that is made in its place; None: nothing is
    "lost": False,  # whether a GPU has fallen off the bus
}
"""The state, as it is where a test says nothing."""


def listed(gpus: list[dict]) -> None:
    for number, gpu in enumerate(gpus):
        print(f"GPU {number}: NVIDIA A100-SXM4-40GB (UUID: GPU-0000000{number}-7715-3560-dcea-7238b9611a45)")
        shown = [each["profile"] for each in gpu["instances"] if each["compute"]]
        for device, profile in enumerate(shown):
            print(
                f"  MIG {profile:<11} Device {device:>2}: (UUID: MIG-{number}{device}f22-346a-5a1d-ac01-86b505cdf485)"
            )


def switch_on(state: dict) -> None:
    for number, gpu in enumerate(state["gpus"]):
        address = f"00000000:{number}0:1C.0"
        if state["switches"] == "never":
            print(f"Unable to enable MIG mode for GPU {address}: Not Supported\nTreating as warning and moving on.")
            continue
        gpu["pending"] = "Enabled"
        if state["switches"] == "at once":
            gpu["current"] = "Enabled"
            print(f"Enabled MIG Mode for GPU {address}")
        elif gpu["current"] != "Enabled":
            print(f"Warning: MIG mode is in pending enable state for GPU {address}:In use by another client")
            print("Reboot the system or try nvidia-smi --gpu-reset to make MIG mode effective.")
    print("All done.")


def remove(state: dict, what: str) -> int:
    found = [(gpu, each) for gpu in state["gpus"] for each in gpu["instances"]]
    if what == "compute":
        found = [(gpu, each) for gpu, each in found if each["compute"]]
    if not found:
        print(f"No {'GPU' if what == 'GPU' else 'compute'} instances found: Not Found")
        return 6
    if state["in_use"]:
        print(f"Unable to destroy {what} instance ID  0 from GPU  0: In use by another client")
        print(f"Failed to destroy {what} instances: In use by another client")
        return 19
    for gpu, each in found:
        each["compute"] = False
        if what == "GPU":
            gpu["instances"].remove(each)
    return 0


def create(state: dict, profiles: list[str]) -> int:
    for number, gpu in enumerate(state["gpus"]):
        if gpu["current"] != "Enabled" or gpu["instances"]:
            print(f"Unable to create a GPU instance on GPU  {number}: Insufficient Resources")
            return 19
        for profile in profiles:
            if profile == state["refused"]:
                print(f"Unable to create a GPU instance on GPU  {number} using profile {profile}: Invalid Argument")
                print("Failed to create GPU instances: Invalid Argument")
                return 2
            made = state["made_instead"].get(profile, profile)
            if made:
                gpu["instances"].append({"profile": made, "compute": True})
                print(f"Successfully created GPU instance ID  1 on GPU  {number} using profile MIG {made} (ID 19)")
    return 0


def run(state: dict, arguments: list[str]) -> int:
    gpus = state["gpus"]
    match arguments:
        case ["-L"]:
            state["driver_after"] -= 1
            if state["driver_after"] >= 0:
                print("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")
                return 9
            listed(gpus)
            if state["lost"]:
                print("Unable to determine the device handle for GPU1: 0000:10:1D.0: GPU is lost.")
                return 15
            return 0
        case [query, "--format=csv,noheader"] if query.startswith("--query-gpu=mig.mode."):
            print(*(gpu[query.rpartition(".")[2]] for gpu in gpus), sep="\n")
            return 0
        case ["-mig", "1"]:
            switch_on(state)
            return 0
        case ["mig", "-dci"]:
            return remove(state, "compute")
        case ["mig", "-dgi"]:
            return remove(state, "GPU")
        case ["mig", "-lgi"]:
            if not any(gpu["instances"] for gpu in gpus):
                print("No GPU instances found: Not Found")
                return 6
            for number, gpu in enumerate(gpus):
                for each in gpu["instances"]:
                    print(f"|   {number}  MIG {each['profile']}         19        9          2:1     |")
            return 0
        case ["mig", "-cgi", profiles, "-C"]:
            return create(state, profiles.split(","))
    print(f"Invalid combination of input arguments: {arguments}")
    return 2


if __name__ == "__main__":
    with (NODE / "calls").open("a") as calls:
        print("nvidia-smi", *sys.argv[1:], file=calls)
    state = ALL | json.loads((NODE / "gpus.json").read_text())
    status = run(state, sys.argv[1:])
    (NODE / "gpus.json").write_text(json.dumps(state))
    sys.exit(status)
