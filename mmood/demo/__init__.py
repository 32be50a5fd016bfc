"""A page to try a model on pictures of one's own, by a local server.

``python -m mmood.demo CONFIG CHECKPOINT``. Needs the extra ``demo``.
"""
