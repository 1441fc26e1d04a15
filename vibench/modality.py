"""The two modalities, by name and by the code that tensors carry."""

VISIBLE = "visible"
INFRARED = "infrared"
MODALITIES = (VISIBLE, INFRARED)
CODE = {VISIBLE: 0, INFRARED: 1}


def other(modality: str) -> str:
    """The opposite modality."""
    return INFRARED if modality == VISIBLE else VISIBLE
