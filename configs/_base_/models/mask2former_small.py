# Mask2Former with a third of the published layers, half of the width and 40
# queries.
_base_ = './mask2former_r50.py'
width, heads, hidden, queries, num_feats = 128, 8, 512, 40, 64
attention = dict(embed_dims='$width', num_heads='$heads')
ffn = dict(embed_dims='$width', feedforward_channels='$hidden')
encoding = dict(num_feats='$num_feats')
model = dict(
    decode_head=dict(
        feat_channels='$width',
        out_channels='$width',
        num_queries='$queries',
        pixel_decoder=dict(
            encoder=dict(
                num_layers=2,
                layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=ffn),
            ),
            positional_encoding=encoding,
        ),
        positional_encoding=encoding,
        transformer_decoder=dict(
            num_layers=3,
            layer_cfg=dict(
                self_attn_cfg=attention,
                cross_attn_cfg=attention,
                ffn_cfg=ffn,
            ),
        ),
    )
)
