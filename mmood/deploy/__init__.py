"""Models as ONNX files: writing them, and running them without torch.

`mmood.deploy.run` needs onnxruntime and numpy only; so this module imports
nothing.
"""
