"""A small EC2: moto keeps the books, and every instance in them is a real process on this machine.

It runs what a new instance would run, its user data, with a `shutdown` of its own.
"""

from __future__ import annotations

import base64
import logging
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import psutil
from moto.server import ThreadedMotoServer

LOOK_SECONDS = 0.1


class Cloud:
    """Instances that run as long as the books say so."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.variables = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        self.ec2 = boto3.client(
            "ec2",
            region_name="us-east-1",
            endpoint_url=self.variables["AWS_ENDPOINT_URL"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self.image = self.ec2.describe_images()["Images"][0]["ImageId"]
        self.most = 0
        """How many instances ran at the same time at most."""
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def running(self) -> dict[str, str]:
        """The instances that run by the books: the name of each, by its id."""
        found = {}
        for reservation in self.ec2.describe_instances()["Reservations"]:
            for instance in reservation["Instances"]:
                if instance["State"]["Name"] in ("pending", "running"):
                    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
                    found[instance["InstanceId"]] = tags.get("Name", "")
        return found

    def preempt(self, instance: str) -> None:
        """Take an instance back."""
        self.ec2.terminate_instances(InstanceIds=[instance])

    def _play(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            there = self.running()
            self.most = max(self.most, len(there))
            for instance in there:
                if instance not in self._processes:
                    self._processes[instance] = self._boot(instance)
            for instance in self._processes.keys() - there.keys():
                self._halt(self._processes.pop(instance))

    def _boot(self, instance: str) -> subprocess.Popen[bytes]:
        folder = self._folder / instance
        folder.mkdir(parents=True)
        answer: dict[str, Any] = self.ec2.describe_instance_attribute(
            InstanceId=instance, Attribute="userData"
        )
        script = folder / "user-data"
        script.write_bytes(base64.b64decode(answer["UserData"]["Value"]))
        (folder / "shutdown").write_text("#!/bin/sh\nexit 0\n")
        (folder / "shutdown").chmod(0o755)
        path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        with (folder / "console").open("wb") as console:
            return subprocess.Popen(
                ["bash", str(script)],
                env={"PATH": path, "HOME": str(folder), "EVQ_STATE_DIR": str(folder / "state")},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )

    def _halt(self, process: subprocess.Popen[bytes]) -> None:
        """A machine that is switched off ends everything on it."""
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            os.killpg(process.pid, signal.SIGSTOP)  # nothing can begin meanwhile
            for one in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    one.send_signal(signal.SIGKILL)
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        """Switch everything off."""
        self._over.set()
        self._thread.join()
        for process in self._processes.values():
            self._halt(process)
        self._server.stop()
