"""The figures of the report, and which columns each of them draws."""

from ringlite_cli.runs.catalogue.columns import ByName, Curve, Panel

_NORM = Panel("Gradient norm", "L2 norm", (Curve("grad_norm", "norm"),), zero=True, log=True)
_RATE = Panel("Learning rate", "per step", (Curve("lr", "learning rate", kind="plain"),), zero=True)

RL_LEARNING = (
    Panel("Reward", "mean over responses", (Curve("reward", "reward"),), zero=True),
    Panel("Entropy", "nats per token", (Curve("entropy", "entropy"),)),
    Panel("Loss", "", (Curve("loss", "loss"),)),
    _RATE,
)
RL_BY_NAME = (
    ByName("Reward by domain", "mean over responses", "reward_by_domain", least=2),  # that of one domain is the reward
    ByName("Reward by verifier, before weights", "mean over responses", "reward_parts"),
    ByName("Held-out score", "mean over problems", "held_out_by_domain", "dots"),
)
RL_BUDGET = (
    Panel(
        "Tokens trained and dropped",
        "tokens per step",
        (
            Curve("tokens_trained", "trained", kind="plain"),
            Curve("budget", "budget Φ", "c-budget", "dash"),
            Curve("tokens_dropped", "dropped", "c-dropped", "mean"),
        ),
        zero=True,
    ),
    Panel(
        "Response length",
        "tokens",
        (Curve("response_tokens_mean", "mean"), Curve("response_tokens_max", "longest", "p-quiet", "mean")),
        zero=True,
    ),
    Panel(
        "Carried responses",
        "tokens",
        (
            Curve("tokens_carried_in", "carried in"),
            Curve("tokens_carried_out", "carried out", "p-quiet", "mean"),
            Curve("tokens_dropped_old", "dropped as too old", "c-dropped", "mean"),
        ),
        zero=True,
    ),
    Panel("Budget fill", "share of the budget", (Curve("budget_fill", "filled"),), zero=True),
    Panel(
        "Rollout speed",
        "tokens/s",
        (
            Curve("rollout_tokens_per_second", "rollout"),
            Curve("generation_tokens_per_second", "engine alone", "p-quiet", "mean"),
        ),
        zero=True,
    ),
)
RL_HEALTH = (
    _NORM,
    Panel("KL to the reference", "nats per token", (Curve("kl", "KL"),), zero=True),
    Panel("Clipped ratios", "share of tokens", (Curve("clip_fraction", "clipped"),), zero=True),
    Panel(
        "Signal",
        "share",
        (
            Curve("informative_fraction", "groups with right and wrong"),
            Curve("truncated_fraction", "responses truncated", "c-dropped", "mean"),
        ),
        zero=True,
    ),
    Panel("Model FLOPs utilization", "share of the peak", (Curve("mfu", "update"),), zero=True),
    Panel(
        "Speed of a GPU",
        "tokens/s per GPU",
        (
            Curve("tokens_per_second_per_gpu", "trained, whole step"),
            Curve("update_tokens_per_second_per_gpu", "update alone", "p-quiet", "mean"),
        ),
        zero=True,
    ),
    Panel(
        "Phases of a step",
        "share of the step",
        (
            Curve("generation_share", "generation", "c-rollout", "mean"),
            Curve("sync_share", "sync", "c-budget", "mean"),
            Curve("reward_share", "reward", "c-reward", "mean"),
            Curve("reference_share", "reference", "c-dropped", "mean"),
            Curve("update_share", "update", "c-update", "mean"),
            Curve("idle_share", "idle", "c-other", "mean"),
        ),
        zero=True,
    ),
    Panel(
        "Engine and trainer",
        "nats per token",
        (Curve("engine_mismatch", "mismatch"), Curve("engine_drift", "drift after a sync", "p-quiet", "mean")),
        zero=True,
    ),
    Panel(
        "Mismatch of single tokens",
        "nats",
        (
            Curve("mismatch_p50", "half of the tokens below"),
            Curve("mismatch_p90", "90 %", "c-budget", "dash"),
            Curve("mismatch_p99", "99 %", "p-quiet", "mean"),
        ),
        zero=True,
    ),
    Panel("Masked tokens", "share of tokens", (Curve("mismatch_masked", "masked"),), zero=True),
    Panel(
        "Router load",
        "even share = 1",
        (Curve("router_load_max", "busiest expert"), Curve("router_load_min", "idlest expert", "p-quiet", "mean")),
        zero=True,
    ),
    Panel(
        "Router's largest violation",
        "share over an even load",
        (Curve("router_max_violation", "violation"),),
        zero=True,
    ),
    Panel("Router entropy", "nats", (Curve("router_entropy", "entropy"),), zero=True),
    Panel("Router z", "mean squared log-sum-exp", (Curve("router_z", "z"),), zero=True),
)
SFT_PANELS = (
    Panel("Loss", "nats per token", (Curve("loss", "loss"),)),
    Panel("Mean token accuracy", "share of tokens", (Curve("mean_token_accuracy", "accuracy"),)),
    _NORM,
    _RATE,
)
ARM_PANELS = (
    Panel("Reward", "mean over responses", (Curve("reward", "reward"),), zero=True),
    Panel("Entropy", "nats per token", (Curve("entropy", "entropy"),)),
    Panel("Gradient norm", "L2 norm", (Curve("grad_norm", "norm"),), zero=True, log=True),
    Panel("Response length", "tokens", (Curve("response_tokens_mean", "mean"),), zero=True),
    Panel("Tokens that a step trains at most", "tokens per step", (Curve("budget", "budget"),), zero=True),
)
"""What a page that compares arms of an experiment draws, a curve per arm."""
PHASES = ("rollout", "reward", "update")
"""Parts of a step: each has a column `<part>_seconds`, and the rest of step_seconds is `other`."""

REWARD_MODEL_PANELS = (
    Panel("Loss", "nats per pair", (Curve("loss", "loss"),)),
    Panel("Accuracy in training", "share of pairs", (Curve("accuracy", "accuracy"),), zero=True),
    Panel("Margin", "", (Curve("margin", "margin"), Curve("mean_reward", "mean score", "p-quiet", "mean"))),
    _RATE,
    _NORM,
)
