"""One policy's responses, drawn by all ranks of a launch.

The first rank deals: it writes a job into the stage's folder (which policy, which responses), cut into units. A helper
process of each rank, on the rank's own GPUs, takes the next unit that nobody has taken, draws it, and appends what it
drew to a file of its own. The first rank reads those files as they grow. A response depends on the recipe's seed, its
problem and its index alone, so it is the same whoever draws it; and what was drawn before a kill is read again,
whatever the number of ranks then.

    <stage>/.drawing/<session>/                 one launch's work in one stage
        session.json                            the engine
        0001/job.json, requests.jsonl           what is to be drawn; units.json: how it is cut
        0001/claims/<unit>                      taken by a rank
        0001/answers-<rank>.jsonl               drawn by a rank
        0001/over, failed-<rank>.json, ended    the job is over; a rank failed; the session has ended
"""
