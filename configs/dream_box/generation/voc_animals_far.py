# Unknown objects for a test far from any class: in the place of each
# annotated object one of a random outline and texture, so that none of the
# old ones is left. Drawn, in a minute on a CPU. For
# configs/_base_/datasets/held_out.py.
folder = '{{$MMOOD_DATA:data/animals}}/voc/'
data = dict(
    ann_file=folder + 'annotations/test.json', img_root=folder + 'images/'
)
seed = 0
num_images = 200
max_objects = None
min_area = 0
padding = 0.1
painter = dict(type='mmood.ProceduralPainter', swaps=['shape'], size=256)
