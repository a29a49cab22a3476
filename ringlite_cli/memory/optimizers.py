"""Bytes that TRL's and transformers' optimizers keep of each trained parameter, by the names of `trl.optim`."""

_FLOAT32_PAIR = 8.0
"""AdamW's two moments in float32; an optimizer that is not named here is taken as one that keeps them."""

_ON_GPU: dict[str, float] = {
    "adamw_8bit": 2.0,
    "adamw_bnb_8bit": 2.0,
    "adamw_torch_8bit": 2.03,
    "adamw_torch_4bit": 1.06,
    "adamw_anyprecision": 4.0,
    "ademamix": 12.0,
    "ademamix_8bit": 3.0,
    "lion_32bit": 4.0,
    "lion_8bit": 1.0,
    "rmsprop": 4.0,
    "rmsprop_bnb": 4.0,
    "rmsprop_bnb_32bit": 4.0,
    "rmsprop_bnb_8bit": 1.0,
    "adagrad": 4.0,
    "adafactor": 0.01,
    "sgd": 0.0,
    "lomo": 0.0,
}
"""A byte for each 8-bit state, with its blocks' scales; adafactor keeps a row and a column of each matrix."""

_PAGED = "paged_"


def optimizer_bytes(name: str | None) -> float:
    """Return the bytes per trained parameter that an optimizer keeps on the GPU.

    name: as in `trl.optim`; None is AdamW. A paged one keeps its states in pages that the driver moves to the host.
    """
    if name and name.startswith(_PAGED):
        return 0.0
    return _ON_GPU.get(name or "", _FLOAT32_PAIR)


def host_bytes(name: str | None) -> float:
    """Return the bytes per trained parameter that a paged optimizer keeps in the host's memory; 0 for others."""
    if not name or not name.startswith(_PAGED):
        return 0.0
    plain = name.removeprefix(_PAGED)
    return _ON_GPU.get(plain, _FLOAT32_PAIR)
