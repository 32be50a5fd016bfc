# ORE on the tasks of build_owod.py.
_base_ = './ore_c4.py'
leak_ann = 'owod/${protocol}/leak.json'
