"""TACO (BAAI/TACO; arXiv 2312.14852): APPS's columns question, solutions, input_output, starter_code, difficulty, and
source, name, tags, skill_types, url, time_limit, memory_limit, picture_num.
"""

from ringlite_cli.data.adapters.competition import read_inputs_outputs as read

DOMAIN = "code"
EDUCATION = "programming contest"

__all__ = ["DOMAIN", "read"]
