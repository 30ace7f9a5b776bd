"""The only module that speaks Panda3D's renderer: a scene, a colour camera and an id camera.

The software renderer draws without a display or a GPU. Two offscreen buffers share one scene. The colour pass
is drawn at twice the picture's size and halved afterwards, which smooths edges. The id pass is drawn at the
picture's size, and in it every solid has one flat colour that is its number. Numbers 1..N are the layout's
movers, in order. Then come buildings, trees and lamps, which only hide movers. 0 is ground or sky.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
import numpy.typing as npt
from panda3d import core as p3
from PIL import Image as Pictures

from ecco_emu.core.errors import HostError
from ecco_emu.core.frames import Image
from ecco_emu.core.random_streams import stream
from ecco_emu.world.town import models, scenery
from ecco_emu.world.town.layout import Layout
from ecco_emu.world.town.mesh import Mesh
from ecco_emu.world.town.streets import KINDS, PEDESTRIAN, SIZES
from ecco_emu.world.town.traffic import Poses
from ecco_emu.world.town.views import FAR_M, NEAR_M, Viewpoint

SUPERSAMPLING = 2
_COLOR, _IDS = p3.BitMask32.bit(0), p3.BitMask32.bit(1)
_LIT = 255
"""Blue in the id pass: this pixel is a window with light behind it (at night)."""
LIT_WINDOWS = 0.3
_MAX_IDS = 1 << 16
"""Numbers are spread over two bytes, red and green."""
_PIECE_M = 30.0
"""Side of the square pieces of town that are drawn or left out as one."""
_ANY = (1.0, 1.0, 1.0)

_serial = itertools.count()
"""Gives every buffer of a process a name of its own."""

p3.load_prc_file_data(
    "ecco-emu",
    """
    load-display p3tinydisplay
    aux-display
    window-type offscreen
    audio-library-name null
    notify-level error
    default-directnotify-level error
    model-cache-dir
    """,
)


def _pipe() -> p3.GraphicsPipe:
    pipes = p3.GraphicsPipeSelection.get_global_ptr()
    pipe = pipes.make_pipe("TinyOffscreenGraphicsPipe", "p3tinydisplay")
    if pipe is None:
        raise HostError(
            "Panda3D's software renderer (p3tinydisplay) is missing; "
            "reinstall it: pip install --force-reinstall panda3d"
        )
    return pipe


def _flat(number: int, blue: int = 0) -> p3.ColorAttrib:
    """The flat colour that stands for a number. ``+ 0.5``: the renderer rounds shares of 1 down to bytes."""
    red, green, blue_share = ((byte + 0.5) / 256 for byte in (number & 255, number >> 8, blue))
    return p3.ColorAttrib.make_flat((red, green, blue_share, 1.0))


def _piece(at: tuple[float, float]) -> tuple[int, int]:
    """The piece of town that a point belongs to."""
    return math.floor(at[0] / _PIECE_M), math.floor(at[1] / _PIECE_M)


class Solids:
    """Numbers and bounding boxes of all that stands still, in the id pass's numbering.

    ``boxes`` is (N, 6) as x0, y0, z0, x1, y1, z1 in metres, in order of number from ``first``.
    """

    def __init__(self, layout: Layout) -> None:
        self.first = len(layout.movers) + 1
        boxes = [
            (*b.low, 0.0, *b.high, b.height_m * 1.0 + (4.0 if b.gabled else 0.3)) for b in layout.buildings
        ]
        boxes += [
            (
                t.at[0] - t.radius_m,
                t.at[1] - t.radius_m,
                0.0,
                t.at[0] + t.radius_m,
                t.at[1] + t.radius_m,
                t.height_m,
            )
            for t in layout.trees
        ]
        for lamp in layout.lamps:
            (x, y), (hx, hy, z) = lamp.at, lamp.head
            boxes.append(
                (min(x, hx) - 0.3, min(y, hy) - 0.3, 0.0, max(x, hx) + 0.3, max(y, hy) + 0.3, z + 0.1)
            )
        self.boxes = np.array(boxes, dtype=np.float32).reshape(-1, 6)
        self.first_lamp = self.first + len(layout.buildings) + len(layout.trees)
        if self.first + len(boxes) >= _MAX_IDS:
            raise HostError(f"the town has {self.first + len(boxes)} solids; the id pass can tell {_MAX_IDS}")


class Stage:
    """A layout's scene and the two buffers that look at it. Synchronous; one thread at a time."""

    def __init__(self, layout: Layout, size: tuple[int, int]) -> None:
        self._layout = layout
        self._size = size
        self.solids = Solids(layout)
        self._root = p3.NodePath("town")
        self._movers_root = self._root.attach_new_node("movers")
        self._put_ground()
        self._put_solids()
        self._movers, self._strides = self._put_movers()
        self._lens = p3.PerspectiveLens()
        self._lens.set_near_far(NEAR_M, FAR_M)
        self._lens.set_aspect_ratio(size[0] / size[1])
        self._engine = p3.GraphicsEngine()
        self._color_camera = self._camera("color", _COLOR)
        self._id_camera = self._camera("ids", _IDS)
        self._tag_numbers()
        pipe = _pipe()
        big = (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING)
        self._color, self._color_buffer = self._output(pipe, big, self._color_camera)
        self._ids, self._id_buffer = self._output(pipe, size, self._id_camera)
        self._id_buffer.set_clear_color((0, 0, 0, 1))

    def close(self) -> None:
        """Frees the buffers and the scene. The stage is of no use afterwards."""
        self._engine.remove_all_windows()
        self._root.remove_node()

    def place(self, poses: Poses, t: float) -> None:
        """Moves every mover to its pose at ``t``."""
        degrees = np.degrees(poses.heading)
        for node, x, y, heading in zip(
            self._movers, poses.x.tolist(), poses.y.tolist(), degrees.tolist(), strict=True
        ):
            node.set_pos_hpr(x, y, 0.0, heading, 0.0, 0.0)
        for index, switch in self._strides:
            # 3.2 steps a second, and neighbours out of step with each other
            switch.set_visible_child(int(t * 3.2 + index * 0.37) % 2)

    def shoot(self, view: Viewpoint, sky: tuple[float, float, float]) -> tuple[Image, npt.NDArray[np.int32]]:
        """The colours (H, W, 3) in full light, and the number (H, W) of the solid at every pixel.

        ``sky`` is the colour of pixels where nothing is, 0..1.
        """
        self._aim(view)
        self._color_buffer.set_active(True)
        self._color_buffer.set_clear_color((*sky, 1.0))
        self._engine.render_frame()
        return self._read_color(), self._read_ids()[0]

    def shoot_solids(self, view: Viewpoint) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        """The numbers (H, W) without the movers, and a mask (H, W) of windows that are lit at night."""
        self._aim(view)
        self._color_buffer.set_active(False)
        self._movers_root.stash()
        self._engine.render_frame()
        self._movers_root.unstash()
        return self._read_ids()

    def _aim(self, view: Viewpoint) -> None:
        self._lens.set_fov(view.fov_deg)
        self._lens.set_aspect_ratio(self._size[0] / self._size[1])
        forward = view.axes()[2]
        heading = math.degrees(math.atan2(-forward[0], forward[1]))
        pitch = math.degrees(math.asin(max(-1.0, min(1.0, forward[2]))))
        for camera in (self._color_camera, self._id_camera):
            camera.set_pos_hpr(*view.at, view.height_m, heading, pitch, 0.0)

    def _camera(self, name: str, mask: p3.BitMask32) -> p3.NodePath:
        camera = p3.Camera(name, self._lens)
        camera.set_camera_mask(mask)
        return self._root.attach_new_node(camera)

    def _tag_numbers(self) -> None:
        """In the id pass every mover is drawn in the flat colour that is its number."""
        camera = self._id_camera.node()
        camera.set_tag_state_key("number")
        for number in range(1, len(self._movers) + 1):
            camera.set_tag_state(str(number), p3.RenderState.make(_flat(number), 10))

    def _output(
        self, pipe: p3.GraphicsPipe, size: tuple[int, int], camera: p3.NodePath
    ) -> tuple[p3.Texture, p3.GraphicsOutput]:
        depth = p3.FrameBufferProperties()
        depth.set_rgba_bits(8, 8, 8, 8)
        depth.set_depth_bits(24)
        buffer = self._engine.make_output(
            pipe,
            f"ecco-{next(_serial)}",
            0,
            depth,
            p3.WindowProperties.size(*size),
            p3.GraphicsPipe.BF_refuse_window,
        )
        if buffer is None:
            raise HostError("Panda3D's software renderer made no offscreen buffer")
        texture = p3.Texture()
        buffer.add_render_texture(texture, p3.GraphicsOutput.RTM_copy_ram, p3.GraphicsOutput.RTP_color)
        buffer.make_display_region().set_camera(camera)
        return texture, buffer

    def _read_color(self) -> Image:
        width, height = self._size
        raw = Pictures.frombuffer(
            "RGBX",  # not RGBA: nothing to premultiply
            (width * SUPERSAMPLING, height * SUPERSAMPLING),
            bytes(self._color.get_ram_image()),
            "raw",
            "RGBX",
            0,
            1,
        )
        small = np.asarray(raw.reduce(SUPERSAMPLING))
        return small[::-1, :, 2::-1]  # bottom-up BGRA to top-down RGB

    def _read_ids(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        width, height = self._size
        raw = np.frombuffer(self._ids.get_ram_image(), np.uint8).reshape(height, width, 4)[::-1]
        ids = raw[..., 2].astype(np.int32) | (raw[..., 1].astype(np.int32) << 8)
        return ids, raw[..., 0] >= _LIT // 2

    def _put_ground(self) -> None:
        for order, node in enumerate(scenery.ground(self._layout)):
            layer = self._root.attach_new_node(node)
            layer.set_bin("background", order)
            layer.set_depth_test(False)
            layer.set_depth_write(False)
            layer.hide(_IDS)

    def _put_solids(self) -> None:
        """Everything that stands still: in big pieces for the colour pass, plain and one by one for ids.

        Few big meshes are drawn faster than many small ones, but the id pass needs a colour for each.
        """
        number = self.solids.first
        rng = stream(0, "stage", "windows")
        pieces: dict[tuple[int, int], Mesh] = defaultdict(Mesh)
        for building in self._layout.buildings:
            plain, lit = Mesh(shade=False), Mesh(shade=False)
            scenery.building_mesh(pieces[_piece(building.low)], building)
            scenery.building_solid(plain, building)
            for pane in scenery.windows(building):
                if rng.random() < LIT_WINDOWS:
                    lit.face(pane, _ANY)
            self._put_numbered(plain, number)
            self._put_numbered(lit, number, _LIT)
            number += 1
        for tree in self._layout.trees:
            plain = Mesh(shade=False)
            scenery.tree_mesh(pieces[_piece(tree.at)], tree)
            scenery.tree_mesh(plain, tree)
            self._put_numbered(plain, number)
            number += 1
        for lamp in self._layout.lamps:
            plain = Mesh(shade=False)
            scenery.lamp_mesh(pieces[_piece(lamp.at)], lamp)
            scenery.lamp_mesh(plain, lamp)
            self._put_numbered(plain, number)
            number += 1
        for piece in pieces.values():
            self._root.attach_new_node(piece.node("piece")).hide(_IDS)

    def _put_numbered(self, mesh: Mesh, number: int, blue: int = 0) -> None:
        node = self._root.attach_new_node(mesh.node("ids"))
        node.hide(_COLOR)
        node.set_attrib(_flat(number, blue), 10)

    def _put_movers(self) -> tuple[list[p3.NodePath], list[tuple[int, p3.SwitchNode]]]:
        nodes: dict[tuple[int, int, int], p3.GeomNode] = {}
        shadows = [_shadow(*SIZES[kind][:2]) for kind in KINDS]
        out: list[p3.NodePath] = []
        strides: list[tuple[int, p3.SwitchNode]] = []
        movers = self._layout.movers
        for index, (kind, look) in enumerate(zip(movers.kinds.tolist(), movers.looks.tolist(), strict=True)):
            path = self._movers_root.attach_new_node("mover")
            shadow = path.attach_new_node(shadows[kind])
            shadow.hide(_IDS)
            shadow.set_transparency(p3.TransparencyAttrib.M_alpha)
            shadow.set_bin("background", 50)
            shadow.set_depth_test(False)
            shadow.set_depth_write(False)
            body: p3.NodePath = path.attach_new_node(p3.SwitchNode("body"))
            if kind == PEDESTRIAN:
                strides.append((index, body.node()))
            for stride in range(2 if kind == PEDESTRIAN else 1):
                key = (kind, look, stride)
                if key not in nodes:
                    nodes[key] = models.model(KINDS[kind], look, stride).node("body")
                body.attach_new_node(nodes[key])
            body.set_tag("number", str(index + 1))
            out.append(path)
        return out, strides


def _shadow(length: float, width: float) -> p3.GeomNode:
    """A dark rectangle under a mover, softer at its rim. Without it movers seem to float."""
    mesh = Mesh(shade=False)
    for grow, alpha in ((0.22, 0.22), (0.02, 0.38)):
        x, y = length / 2 + grow, width / 2 + grow
        corners = ((-x, -y, 0.0), (x, -y, 0.0), (x, y, 0.0), (-x, y, 0.0))
        mesh.face(corners, (0.02, 0.02, 0.03), alpha)
    return mesh.node("shadow")
