"""The published weight layout: experts stand one by one in a checkpoint, and stacked in the model.

All other tensors carry the same names in both. transformers' own conversion reads and writes the experts.
"""


def register_layout() -> None:
    """Tell transformers how the experts of a bailing_moe checkpoint are stacked, and taken apart when it is saved."""
    from transformers.conversion_mapping import register_checkpoint_conversion_mapping
    from transformers.core_model_loading import Concatenate, MergeModulelist, WeightConverter

    register_checkpoint_conversion_mapping(
        "bailing_moe",
        [
            WeightConverter(
                source_patterns=["mlp.experts.*.gate_proj.weight", "mlp.experts.*.up_proj.weight"],
                target_patterns="mlp.experts.gate_up_proj",
                operations=[MergeModulelist(dim=0), Concatenate(dim=1)],
            ),
            WeightConverter(
                source_patterns="mlp.experts.*.down_proj.weight",
                target_patterns="mlp.experts.down_proj",
                operations=[MergeModulelist(dim=0)],
            ),
        ],
        overwrite=True,
    )
