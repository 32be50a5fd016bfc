"""The COCO API on files that were checked and made complete."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout

from mmdet.datasets.api_wrappers import COCO

from mmood.ops import read_coco


class CheckedCOCO(COCO):
    """``COCO`` of a file that `mmood.ops.read_coco` accepts.

    Annotations are numbered from 1: the evaluation takes the id 0 for "no
    match" and fails on words.
    """

    def __init__(self, annotation_file: str | None = None) -> None:
        super().__init__()
        if annotation_file is None:
            return
        self.dataset = read_coco(annotation_file)
        for number, record in enumerate(self.dataset['annotations'], 1):
            record['id'] = number
        with redirect_stdout(io.StringIO()):
            self.createIndex()
        self.img_ann_map, self.cat_img_map = self.imgToAnns, self.catToImgs

    def get_cat_ids(
        self, cat_names: Sequence[str] = (), *args, **kwargs
    ) -> list:
        """In the order of ``cat_names``, so that label i is the i-th."""
        found = super().get_cat_ids(cat_names, *args, **kwargs)
        order = {name: label for label, name in enumerate(cat_names)}
        return sorted(found, key=lambda i: order.get(self.cats[i]['name'], 0))
