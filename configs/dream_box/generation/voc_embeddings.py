# Outliers for VOC from noise on the class names' embeddings.
_base_ = 'voc_generic.py'

std = 0.1  # of the noise; published: 0.001 to 5
painter = dict(
    guidance=12,
    prompts=dict(_delete_=True, type='mmood.ClassEmbeddings', std=std),
)
