"""Agents on instances of Amazon EC2, on demand or spot."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import shlex
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from ..definition import Kind
from ..planning import Condition, Shown
from . import Access, Refusal, agent_words, needed

MARK = "evq:autoscaler"
MACHINE = "evq:machine"
KIND = "evq:kind"
TAKEN_BACK = "Server.SpotInstanceTermination"


class AwsDriver:
    """EC2 instances, known by their tags; see `Driver`.

    `place` knows `region`, `image`, `type`, and if wished `subnet`, `groups` (a list), `profile`
    (an instance profile), `disk` (GiB) and `setup` (lines of a shell script that make `evq` a
    command there). The login is boto3's own affair.
    """

    def __init__(self, autoscaler: str, access: Access, kind: Kind) -> None:
        self._autoscaler = autoscaler
        self._access = access
        self._ec2 = boto3.client(
            "ec2", region_name=needed(kind, "region", "where its machines are")
        )

    async def machines(self) -> dict[str, Shown]:
        return await asyncio.to_thread(self._list)

    def _list(self, *more: dict[str, Any]) -> dict[str, Shown]:
        filters = [{"Name": f"tag:{MARK}", "Values": [self._autoscaler]}, *more]
        found: dict[str, Shown] = {}
        for page in self._ec2.get_paginator("describe_instances").paginate(Filters=filters):
            for reservation in page["Reservations"]:
                for instance in reservation["Instances"]:
                    tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
                    shown = Shown(instance["InstanceId"], tags.get(KIND, ""), _condition(instance))
                    found[tags.get(MACHINE, instance["InstanceId"])] = shown
        return found

    async def launch(self, machine: str, name: str, kind: Kind) -> str:
        return await asyncio.to_thread(self._launch, machine, name, kind)

    def _launch(self, machine: str, name: str, kind: Kind) -> str:
        try:
            known = self._list({"Name": f"tag:{MACHINE}", "Values": [machine]}).get(machine)
            if known and known.condition == "alive":
                return known.ref
            answer = self._ec2.run_instances(**self._request(machine, name, kind))
        except (ClientError, BotoCoreError) as error:
            raise Refusal(f"EC2 refuses {machine}: {error}") from error
        return str(answer["Instances"][0]["InstanceId"])

    def _request(self, machine: str, name: str, kind: Kind) -> dict[str, Any]:
        place = kind.place
        tags = {"Name": machine, MARK: self._autoscaler, MACHINE: machine, KIND: name}
        words: dict[str, Any] = {
            "ImageId": needed(kind, "image", "the id of the machine image"),
            "InstanceType": needed(kind, "type", "the instance type, such as g5.xlarge"),
            "MinCount": 1,
            "MaxCount": 1,
            # A list may be a moment old, but the same token twice is one instance.
            "ClientToken": hashlib.sha256(f"{self._autoscaler}/{machine}".encode()).hexdigest(),
            "UserData": self._script(machine, kind),
            # An agent that ends takes its machine with it, whoever else is dead by then.
            "InstanceInitiatedShutdownBehavior": "terminate",
            "TagSpecifications": [
                {
                    "ResourceType": "instance",
                    "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
                }
            ],
        }
        if kind.spot:
            words["InstanceMarketOptions"] = {"MarketType": "spot"}
        if "subnet" in place:
            words["SubnetId"] = place["subnet"]
        if "groups" in place:
            words["SecurityGroupIds"] = list(place["groups"])
        if "profile" in place:
            words["IamInstanceProfile"] = {"Name": place["profile"]}
        if "disk" in place:
            disk = {"VolumeSize": int(place["disk"]), "VolumeType": "gp3"}
            words["BlockDeviceMappings"] = [{"DeviceName": "/dev/sda1", "Ebs": disk}]
        return words

    def _script(self, machine: str, kind: Kind) -> str:
        """What a new machine runs: it is to become an agent, and to go when that ends."""
        lines = ["#!/bin/bash", "trap 'shutdown -h now' EXIT"]
        for name, value in self._access.variables.items():
            lines.append(f"export {name}={shlex.quote(value)}")
        for path in self._access.files:
            text = base64.b64encode(path.read_bytes()).decode()
            target = shlex.quote(str(path))
            lines += [f"install -D -m 600 /dev/null {target}", f"base64 -d > {target} <<< {text}"]
        lines += str(kind.place.get("setup", "")).splitlines()
        lines.append(shlex.join(["evq", *agent_words(machine, kind)]))
        return "\n".join(lines) + "\n"

    async def end(self, machine: str, ref: str) -> None:
        await asyncio.to_thread(self._end, machine)

    def _end(self, machine: str) -> None:
        """Terminate it; one that is terminated loses its tags, because EC2 shows it for an hour."""
        only = {"Name": f"tag:{MACHINE}", "Values": [machine]}
        shown = self._list(only).get(machine)
        if shown is None:
            return
        self._ec2.terminate_instances(InstanceIds=[shown.ref])
        over = [only, {"Name": "instance-state-name", "Values": ["terminated"]}]
        if machine in self._list(*over):
            self._ec2.delete_tags(Resources=[shown.ref], Tags=[{"Key": MARK}])


def _condition(instance: dict[str, Any]) -> Condition:
    if instance["State"]["Name"] in ("pending", "running"):
        return "alive"
    reason = instance.get("StateReason", {}).get("Code", "")
    return "preempted" if reason == TAKEN_BACK else "dead"
