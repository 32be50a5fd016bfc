"""Dream-Box: outlier objects painted into the annotated boxes of images."""

from .coco_objects import CocoObjects
from .diffusers_painter import DiffusersPainter
from .drawn_objects import DrawnObjects
from .filters import PixelDistance, StructuralDistance
from .folder_objects import FolderObjects
from .objects import Cutout, ObjectSource
from .painter import Painter, Painting, paint_box
from .procedural import ProceduralPainter, random_outline
from .prompts import ClassEmbeddings, GenericPrompts, Prompt
from .shapes import FAR, ID, NEAR, Scene, render_scene

__all__ = [
    'FAR',
    'ID',
    'NEAR',
    'ClassEmbeddings',
    'CocoObjects',
    'Cutout',
    'DiffusersPainter',
    'DrawnObjects',
    'FolderObjects',
    'GenericPrompts',
    'ObjectSource',
    'Painter',
    'Painting',
    'PixelDistance',
    'ProceduralPainter',
    'Prompt',
    'Scene',
    'StructuralDistance',
    'paint_box',
    'random_outline',
    'render_scene',
]
