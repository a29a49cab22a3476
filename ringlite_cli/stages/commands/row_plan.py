"""How the samples of training rows will be run, foreseen from the model's config alone."""

from ringlite_cli.errors import UserError
from ringlite_cli.recipe.schema import Model


def rows_foreseen(model: Model) -> str:
    """Return how a recipe's model will run packed rows, in words; '' where no config is at hand."""
    from transformers.utils import logging

    from ringlite_cli.c3po.row_path import foreseen_path
    from ringlite_cli.models.sizes import network_without_weights

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        network = network_without_weights(model)
        return str(foreseen_path(network) or "") if network is not None else ""
    except UserError as error:
        return str(error)
    except Exception:  # transformers refuses with many kinds; other checks say why
        return ""
    finally:
        logging.set_verbosity(level)
