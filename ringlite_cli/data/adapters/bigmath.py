"""Big-Math (SynthLabsAI/Big-Math-RL-Verified; arXiv 2502.17387): problem, answer, source, domain, llama8b_solve_rate.

Also its copy open-r1/Big-Math-RL-Verified-Processed: prompt, solution (which is the answer), and the same labels.
"""

from ringlite_cli.data.adapters.fields import Fields, Raw, answer_text, labels, text

DOMAIN = "math"


def read(row: Raw) -> Fields:
    given = labels(row, collection="source", given_pass_rate="llama8b_solve_rate")
    topics = row.get("domain")
    if isinstance(topics, list | tuple) and topics:
        given["subject"] = str(topics[0])
    elif isinstance(topics, str) and topics:
        given["subject"] = topics
    answer = row.get("answer") if row.get("answer") is not None else row.get("solution")
    return {"prompt": text(row, "problem", "prompt"), "answer": answer_text(answer), "labels": given}
