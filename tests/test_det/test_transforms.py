import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mmood.det.datasets import RandomGaussianBlur


def test_blur_is_a_gaussian_of_the_drawn_sigma():
    image = np.zeros((41, 41, 3), np.float32)
    image[20, 20] = 1000
    blur = RandomGaussianBlur(prob=1, sigma_range=(1.5, 1.5))
    out = blur(dict(img=image.copy()))['img']
    expected = gaussian_filter(image, (1.5, 1.5, 0), truncate=4)
    np.testing.assert_allclose(out, expected, atol=0.5)


def test_probability_zero_leaves_the_image():
    image = np.random.rand(8, 8, 3)
    blur = RandomGaussianBlur(prob=0, sigma_range=(3, 3))
    assert blur(dict(img=image))['img'] is image


@pytest.mark.parametrize('kwargs', [dict(prob=1.5), dict(sigma_range=(0, 1))])
def test_bad_arguments(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        RandomGaussianBlur(**kwargs)
