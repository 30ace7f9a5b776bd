"""From a scenario's network to the link lab's: emulated units become the host's (DESIGN decision 4).

Each camera is a node with its uplink as egress; the server is a node whose ingress is the shared
bottleneck (the switch's port towards it) and whose egress is the shared downlink. Rates are divided
by the dilation and delays multiplied by it; a queue keeps its length in bytes.
"""

from __future__ import annotations

import netns
from ecco_emu.scenario import schema

SERVER = "server"
DEFAULT_QUEUE_S = 0.2
"""A link whose queue the scenario leaves open holds this much at its rate."""


def host_shape(shape: schema.Shape, dilation: float) -> netns.Shape:
    """One direction of a link in wall units."""
    queue_s = shape.queue if shape.queue is not None else DEFAULT_QUEUE_S
    return netns.Shape(
        rate_bps=None if shape.rate is None else shape.rate / dilation,
        queue_s=None if shape.rate is None else queue_s * dilation,
        delay_s=shape.delay * dilation,
        jitter_s=shape.jitter * dilation,
        loss=shape.loss,
    )


def return_shape(uplink: schema.Uplink) -> schema.Shape:
    """The way back over a camera's access link: same delay and loss, its own rate not limited."""
    return schema.Shape.model_construct(
        rate=None, delay=uplink.delay, jitter=uplink.jitter, loss=uplink.loss, queue=None
    )


def lab_spec(scenario: schema.Scenario, dilation: float) -> netns.LabSpec:
    links = [
        netns.LinkSpec(
            SERVER,
            ingress=host_shape(scenario.network.bottleneck, dilation),
            egress=host_shape(scenario.network.downlink, dilation),
        )
    ]
    for camera in scenario.cameras:
        uplink = scenario.uplink_of(camera)
        links.append(
            netns.LinkSpec(
                camera.id,
                egress=host_shape(uplink, dilation),
                ingress=host_shape(return_shape(uplink), dilation),
            )
        )
    return netns.LabSpec(links=tuple(links), engine=scenario.network.engine, seed=scenario.seed)
