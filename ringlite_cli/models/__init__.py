"""Architectures that transformers does not ship, known to its Auto classes once `register` has run."""

from ringlite_cli.errors import UserError

_registered = False


def register() -> None:
    """Make Ling's and Ring's models known to AutoConfig, AutoTokenizer and AutoModelForCausalLM; once is enough.

    From then on the experts of all mixtures follow autocast (see `grouped_experts`).

    Imports transformers and torch, so call it where they are needed anyway, before the first Auto class is used.
    """
    global _registered
    if not _registered:
        from ringlite_cli.models.bailing_moe import register_bailing_moe
        from ringlite_cli.models.bailing_moe_v2 import register_bailing_moe_v2
        from ringlite_cli.models.grouped_experts import settle_experts

        register_bailing_moe()
        register_bailing_moe_v2()
        settle_experts()
        _registered = True


def refuse_needless_trust(name: str, revision: str | None = None) -> None:
    """Raise UserError where `trust_remote_code` is set for a model that is built in, and whose own code is not read.

    name: a Hugging Face id or a folder.
    """
    from transformers import AutoConfig

    register()
    config = AutoConfig.from_pretrained(name, revision=revision)
    if type(config).__module__.startswith(__name__):
        raise UserError(
            f"{config.model_type} is built in: the code published with the weights is not needed (nor does it import "
            "under transformers 5)",
            where="model.trust_remote_code",
            hint="leave the key out",
        )
