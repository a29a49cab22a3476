"""The data room: from raw sources to named sets of problems, with a trail that shows every decision (PAPER §2).

sources -> rules (cleansing) -> verification -> duplicates -> decontamination -> sets; `curate` walks them.
"""
