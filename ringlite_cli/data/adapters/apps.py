"""APPS (codeparrot/apps; arXiv 2105.09938): problem_id, question, solutions and input_output (JSON text), difficulty,
url, starter_code. input_output = {"inputs", "outputs", "fn_name"?}.
"""

from ringlite_cli.data.adapters.competition import read_inputs_outputs as read

DOMAIN = "code"
EDUCATION = "programming contest"

__all__ = ["DOMAIN", "read"]
