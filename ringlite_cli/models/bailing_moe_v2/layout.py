"""The published weight layout beside the model's: other names, and experts one by one in place of stacked."""


def register_layout() -> None:
    """Tell transformers how the tensors of a checkpoint become the model's, and are taken apart when it is saved."""
    from transformers.conversion_mapping import register_checkpoint_conversion_mapping
    from transformers.core_model_loading import Concatenate, MergeModulelist, WeightConverter, WeightRenaming

    register_checkpoint_conversion_mapping(
        "bailing_moe_v2",
        [
            WeightRenaming("word_embeddings", "embed_tokens"),
            WeightRenaming(r"\.attention\.", ".self_attn."),
            WeightRenaming("mlp.gate.expert_bias", "mlp.gate.e_score_correction_bias"),
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
