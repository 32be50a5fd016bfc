# Outliers for Shapes: drawn, in seconds on a CPU.
data = dict(
    ann_file='data/shapes/annotations/train.json', img_root='data/shapes/'
)
seed = 0
num_images = None
max_objects = 1  # the others of an image stay known ones
min_area = 200  # square pixels; scenes have 96 x 96
# A class of Shapes is an outline: a new texture would be no outlier.
painter = dict(type='mmood.ProceduralPainter', swaps=['shape'])
filters = [dict(type='mmood.PixelDistance', min_distance=0.05)]
