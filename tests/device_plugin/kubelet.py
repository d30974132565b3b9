"""The part of a kubelet that device plugins talk to.

Source: k8s.io/kubelet ``pkg/apis/deviceplugin/v1beta1/api.proto``.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import grpc

SOCKET = "kubelet.sock"
SECONDS = 10
"""How long a plugin may take to list its devices."""


class Kubelet:
    """Listens in *folder*, and keeps what is registered there: the health of devices by resource and id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.devices: dict[str, dict[str, str]] = {}
        self.asked = Event()
        """Set when the first plugin has registered."""
        self.server = grpc.server(ThreadPoolExecutor(1))
        methods = {"Register": grpc.unary_unary_rpc_method_handler(self._register)}
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("v1beta1.Registration", methods),))
        self.server.add_insecure_port(f"unix:{folder / SOCKET}")

    def __enter__(self) -> Kubelet:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop(grace=None).wait()

    def _register(self, request: bytes, _: grpc.ServicerContext) -> bytes:
        """``RegisterRequest``: 2 is the plugin's socket, 3 the resource.

        A kubelet asks for the devices afterwards.  Asked before the answer, nothing that is registered lacks them.
        """
        try:
            asked = fields(request)
            (endpoint,), (resource,) = asked[2], asked[3]
            self.devices[resource.decode()] = self._list(endpoint.decode())
        finally:
            self.asked.set()
        return b""

    def _list(self, endpoint: str) -> dict[str, str]:
        """The first ``ListAndWatchResponse``: 1 is a device each, whose 1 is its id and 2 its health."""
        with grpc.insecure_channel(f"unix:{self.folder / endpoint}") as channel:
            stream = channel.unary_stream("/v1beta1.DevicePlugin/ListAndWatch")(b"", timeout=SECONDS)
            devices = [fields(each) for each in fields(next(stream)).get(1, [])]
            stream.cancel()
        found = {device[1][0].decode(): device[2][0].decode() for device in devices}
        assert len(found) == len(devices), "two devices have one id"
        return found


def fields(message: bytes) -> dict[int, list[bytes]]:
    """The fields of a Protocol Buffers message by number, all of them texts or messages, as all of these are."""
    found: dict[int, list[bytes]] = {}
    position = 0

    def number() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        key, length = number(), number()
        assert key & 7 == 2, f"field {key >> 3} is neither text nor message"
        found.setdefault(key >> 3, []).append(message[position : position + length])
        position += length
    return found
