import torch

from vibench.nn.neck import bn_neck, identity_classifier


def test_the_neck_starts_near_one_and_never_shifts():
    torch.manual_seed(0)
    neck = bn_neck(4096)
    assert abs(neck.weight.mean().item() - 1) < 1e-3 and abs(neck.weight.std().item() - 0.01) < 1e-3
    assert neck.weight.requires_grad and not neck.bias.requires_grad
    assert (neck.bias == 0).all()
    assert (bn_neck(8, scale_std=0.0).weight == 1).all()


def test_the_classifier_has_no_bias_and_small_weights():
    torch.manual_seed(0)
    classifier = identity_classifier(256, 40)
    assert classifier.bias is None and classifier.weight.shape == (40, 256)
    assert abs(classifier.weight.std().item() - 1e-3) < 1e-4
