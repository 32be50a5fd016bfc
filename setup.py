"""Build step of the OpenMMLab layout; the metadata stands in setup.cfg.

``mim`` and ``_base_ = 'mmood::...'`` look for configs, tools and the model
index under ``mmood/.mim``: a wheel gets copies there, an editable
installation gets links.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM = ('configs', 'tools', 'model-index.yml')


class BuildWithMim(build_py):
    def run(self):
        super().run()
        base = ROOT if self.editable_mode else Path(self.build_lib)
        target = base / 'mmood' / '.mim'
        if target.exists():
            shutil.rmtree(target)
        target.mkdir(parents=True)
        for name in MIM:
            if self.editable_mode:
                (target / name).symlink_to(ROOT / name)
            elif (ROOT / name).is_dir():
                ignore = shutil.ignore_patterns('__pycache__')
                shutil.copytree(ROOT / name, target / name, ignore=ignore)
            else:
                shutil.copy2(ROOT / name, target / name)


setup(cmdclass={'build_py': BuildWithMim})
