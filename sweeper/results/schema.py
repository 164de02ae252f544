"""Columns of every Parquet file that a study holds, with units and meanings in the field metadata.

One spelling everywhere. Scores are fractions of 1, times seconds, rates Hz. `SCHEMA_VERSION` rises with every change
that an old reader would notice.
"""

import pyarrow as pa

SCHEMA_VERSION = "3"


def _field(name: str, type_: pa.DataType, description: str, unit: str = "", nullable: bool = False) -> pa.Field:
    metadata = {"description": description} | ({"unit": unit} if unit else {})
    return pa.field(name, type_, nullable=nullable, metadata=metadata)


def _schema(kind: str, *columns: pa.Field) -> pa.Schema:
    return pa.schema(columns, metadata={"sweeper.schema": kind, "sweeper.schema_version": SCHEMA_VERSION})


_text, _integer, _number, _flag = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_time = pa.timestamp("ms", tz="UTC")


def _scores(suffix: str, of: str) -> list[pa.Field]:
    macro = {"precision": "macro precision", "recall": "macro recall", "f1": "macro F1"}
    names = {"accuracy": "accuracy"} | macro
    return [_field(f"{n}{suffix}", _number, f"test {d} {of}", "1", nullable=True) for n, d in names.items()]


TRIAL = _schema(
    "trial",
    _field("trial_id", _text, "hash of all that decides the result"),
    _field("study", _text, "study's name"),
    _field(
        "kind",
        _text,
        "'ablation'; 'peer': a network by others, without switches; 'search': has other settings than the recipe",
    ),
    _field(
        "status",
        _text,
        "'complete'; 'failed': then the scores are null and `error` says why; or 'stopped' early by a search: then the "
        "scores are null",
    ),
    _field("arm", _text, "arm's name"),
    _field("semantic", _flag, "semantic branch present", nullable=True),
    _field("detail", _flag, "detail branch present", nullable=True),
    _field("macem_a", _flag, "MACEM-A present", nullable=True),
    _field("macem_b", _flag, "MACEM-B present", nullable=True),
    _field("garm", _flag, "GARM present", nullable=True),
    _field("fusion", _text, "'guided', 'sum' or 'concat'; of no effect with a single branch", nullable=True),
    _field("dataset", _text, "data set's name"),
    _field("synthetic", _flag, "the data set is synthesised, not recorded"),
    _field("split", _text, "how training and test clips are separated"),
    _field("fold", _integer, "test fold"),
    _field("replicate", _integer, "0, 1, … : repetitions with further seeds"),
    _field("seed", _integer, "seed of initial values, batches and draws; shared by all arms of a block"),
    _field("recipe", _text, "recipe's name"),
    _field("epochs", _integer, "training epochs; null where imported", nullable=True),
    _field("sample_rate", _integer, "sample rate of the network's input; null where imported", "Hz", nullable=True),
    _field("clip_seconds", _number, "length of the network's input; null where imported", "s", nullable=True),
    *_scores("", "of the last epoch's weights"),
    *_scores("_ema", "of the moving average of the weights"),
    _field("train_loss", _number, "mean training loss of the last epoch", "nat", nullable=True),
    _field("train_clips", _integer, "training clips", nullable=True),
    _field("test_clips", _integer, "test clips", nullable=True),
    _field("leak", _text, "empty, or how training and test overlap"),
    _field("parameters", _integer, "trainable parameters", nullable=True),
    _field("gflops_per_clip", _number, "forward pass over one clip", "GFLOP", nullable=True),
    _field("seconds", _number, "training time", "s", nullable=True),
    _field("evaluation_seconds", _number, "time to evaluate both sets of weights", "s", nullable=True),
    _field("attempts", _integer, "how often the trial was started", nullable=True),
    _field("device_seconds", _number, "GPU-seconds (without GPUs: core-seconds) of all attempts", "s", nullable=True),
    _field("waste_device_seconds", _number, "the part of them that did not complete the trial", "s", nullable=True),
    _field("finished", _time, "when the trial ended, or was imported (UTC)"),
    _field("device", _text, "'cpu' or the GPU's name"),
    _field("threads", _integer, "CPU threads that computed; null where imported", nullable=True),
    _field("node", _text, "host name"),
    _field("error", _text, "why the trial failed; empty for complete ones"),
    _field("data_digest", _text, "SHA-256 of the decoded clips, labels, groups and folds"),
    _field("git_commit", _text, "commit of the code, '+dirty' where files differed; empty outside a checkout"),
    _field("sweeper_version", _text, "version of sweeper"),
    _field("torch_version", _text, "version of torch"),
    _field("ray_version", _text, "version of Ray"),
    _field("python_version", _text, "version of Python"),
    # Since version 2:
    _field("stage", _text, "of a search: 'explore', 'replicate', 'confirm' or 'test'; empty elsewhere", nullable=True),
    _field("scored_on", _text, "'test', or 'validation': then all scores and `test_clips` are of that", nullable=True),
    _field("params", _text, "what a search chose instead of the recipe's values, as JSON; else empty", nullable=True),
    _field("stopped_epoch", _integer, "epochs trained when a search stopped the trial", nullable=True),
    _field("stopped_score", _number, "accuracy on validation clips then, of the network itself", "1", nullable=True),
    _field(
        "evidence",
        _text,
        "mark of the predictions, curve and weights that belong to this row: they carry it; empty in older rows",
        nullable=True,
    ),
    _field("switches", _text, "what the arm switches relative to the reference, as JSON", nullable=True),
    _field("imported", _text, "file and row of another tool's run; null for trials that were run here", nullable=True),
    _field("seeds", _text, "seeds of single sources that differ from `seed`, as JSON; else empty", nullable=True),
)

CURVE = _schema(
    "curve",
    _field("trial_id", _text, "trial"),
    _field("epoch", _integer, "epoch, from 0"),
    _field("loss", _number, "mean training loss", "nat"),
    _field("train_accuracy", _number, "accuracy on the training batches, as augmented", "1"),
    _field("learning_rate", _number, "at the end of the epoch"),
    _field("seconds", _number, "training time of the epoch", "s"),
    _field("clips_per_second", _number, "training throughput", "1/s"),
    _field("validation_accuracy", _number, "of a search's trials, by the network itself", "1", nullable=True),
)

PREDICTION = _schema(
    "prediction",
    _field("trial_id", _text, "trial"),
    _field("clip_id", _text, "clip"),
    _field("group", _text, "source recording or speaker"),
    _field("target", _integer, "true class"),
    _field("probabilities", pa.list_(pa.float32()), "class probabilities, last epoch's weights", "1"),
    _field("probabilities_ema", pa.list_(pa.float32()), "class probabilities, averaged weights", "1"),
)

SEARCH = _schema(
    "search",
    _field("trial_id", _text, "trial"),
    _field("study", _text, "study's name"),
    _field("arm", _text, "arm's name"),
    _field("fold", _integer, "test fold, whose clips the search never sees"),
    _field("number", _integer, "0, 1, … in the order in which the trials of one search ended"),
    _field("status", _text, "'complete', 'stopped' early, or 'failed'"),
    _field("objective", _text, "what the search goes by: 'accuracy', or 'accuracy_ema'"),
    _field("score", _number, "of it, on validation clips; of a stopped trial, its accuracy then", "1", nullable=True),
    _field("cost", _number, "what the search also wants little of", nullable=True),
    _field("cost_unit", _text, "'gflops': GFLOP of the training; 'seconds' of training; empty without a cost"),
    _field("pareto", _flag, "no complete trial of the search scores more at no more cost"),
    _field("stopped_epoch", _integer, "epochs trained when it was stopped", nullable=True),
    _field("seconds", _number, "training time", "s", nullable=True),
    _field("params", _text, "what was chosen, as JSON"),
    _field("error", _text, "why it failed"),
)

ATTEMPT = _schema(
    "attempt",
    _field("attempt_id", _text, "attempt"),
    _field("trial_id", _text, "trial"),
    _field("started", _time, "when it started (UTC)"),
    _field("ended", _time, "when it ended, or was last seen alive (UTC)"),
    _field("outcome", _text, "'complete', 'running', 'stopped', 'lost' (its process was killed), or 'failed: …'"),
    _field("device", _text, "'cpu' or the GPU's name"),
    _field("cpus", _number, "CPUs held, over all workers"),
    _field("gpus", _number, "GPUs held, over all workers"),
    _field("process", _integer, "process id of the first worker"),
    _field("node", _text, "host name of the first worker"),
    _field(
        "process_space",
        _text,
        "boot id and PID namespace, among whose processes the id is that worker's; null where the system has no such",
        nullable=True,
    ),
)

SUMMARY = _schema(
    "summary",
    _field("kind", _text, "'ablation'; arms of other kinds are listed after these and in no family with them"),
    _field("arm", _text, "arm's name"),
    _field("factor", _text, "what the arm lacks, compared with the reference; empty for other kinds"),
    _field("planned", _integer, "trials in the study's plan"),
    _field("n", _integer, "complete trials"),
    _field("failed", _integer, "failed trials"),
    _field("mean", _number, "mean test accuracy over units", "1", nullable=True),
    _field("ci_low", _number, "95 % interval of the mean, of this arm alone", "1", nullable=True),
    _field("ci_high", _number, "95 % interval of the mean, of this arm alone", "1", nullable=True),
    _field("mean_ema", _number, "mean test accuracy of the averaged weights", "1", nullable=True),
    _field("diff", _number, "mean paired difference to the reference", "1", nullable=True),
    _field("diff_low", _number, "95 % interval of the difference, of all planned arms together", "1", nullable=True),
    _field("diff_high", _number, "95 % interval of the difference, of all planned arms together", "1", nullable=True),
    _field("significant", _flag, "p <= 0.05, so the interval excludes 0; null with holes", nullable=True),
    _field("recordings", _integer, "source recordings tested; single splits only, as below", nullable=True),
    _field("boot_low", _number, "95 % cluster bootstrap interval of the accuracy", "1", nullable=True),
    _field("boot_high", _number, "95 % cluster bootstrap interval of the accuracy", "1", nullable=True),
    _field("mcnemar_p", _number, "clustered McNemar test, networks of the first shared seed", nullable=True),
    _field("parameters", _integer, "trainable parameters", nullable=True),
    _field("gflops_per_clip", _number, "forward pass over one clip", "GFLOP", nullable=True),
    _field("seconds", _number, "training time, all complete trials of the arm; null where it isn't known", "s", True),
    _field("published", _number, "accuracy published on this data set; see verdict", "1", nullable=True),
    _field("published_diff", _number, "published accuracy minus the reference's", "1", nullable=True),
    _field(
        "verdict",
        _text,
        "whether diff agrees with published_diff: 'consistent: …', 'contradicted: …', 'inconclusive: …' or "
        "'not comparable: …'; empty for the reference and where nothing is published",
    ),
    # Since version 3, in place of blocks, p_value, p_unit, p_smallest, p_holm, effect_size, p_better, boot_diff_…:
    _field("unit", _text, "what counts as one piece of evidence: 'fold', its seeds averaged, or 'seed'", nullable=True),
    _field("units", _integer, "units that the arm shares with the reference; the reference's own", nullable=True),
    _field("sd", _number, "standard deviation over units, of this arm alone", "1", nullable=True),
    _field("p", _number, "of the difference, adjusted for all planned arms of the kind", nullable=True),
    _field("df", _number, "degrees of freedom of the difference's variance", nullable=True),
    _field("pooled", _flag, "the difference's variance is pooled over arms, at least in part", nullable=True),
    _field(
        "own_spread",
        _flag,
        "the arm's spread stands out, so that its own variance counts instead of the pooled one",
        nullable=True,
    ),
    _field("claim", _text, "what the difference is a statement about", nullable=True),
    _field("margin", _number, "largest difference that doesn't matter, as the user said", "1", nullable=True),
    _field(
        "outcome",
        _text,
        "'worse', 'better', 'equivalent' (the interval lies within the margin), 'undecided', 'reference', or empty",
        nullable=True,
    ),
    _field(
        "recordings_low",
        _number,
        "95 % interval of the difference for other recordings and seeds, of this arm alone",
        "1",
        nullable=True,
    ),
    _field(
        "recordings_high",
        _number,
        "95 % interval of the difference for other recordings and seeds, of this arm alone",
        "1",
        nullable=True,
    ),
)

EFFECTS = _schema(
    "effects",
    _field("source", _text, "'study', or 'published': of the published accuracies, one run of each arm"),
    _field("effect", _text, "factor, or factors joined by ' × ' for their interaction"),
    _field("order", _integer, "1: main effect, 2: interaction of two factors, …"),
    _field("aliases", _text, "effects that a fraction of a design can't tell from this one, joined by ', '"),
    _field("arms", _text, "the arms of the design, joined by ', '"),
    _field("method", _text, "what the interval is: 'modulus' (studentised maximum modulus), or 'Lenth'"),
    _field("estimate", _number, "mean accuracy with the factor minus without, over the design's arms", "1"),
    _field("low", _number, "95 % interval, of all effects of the design together", "1", nullable=True),
    _field("high", _number, "95 % interval, of all effects of the design together", "1", nullable=True),
    _field("p", _number, "adjusted for all effects of the design; null by Lenth's method", nullable=True),
    _field("significant", _flag, "the interval excludes 0; null without one, and with holes", nullable=True),
    _field("unit", _text, "'fold', its seeds averaged, 'seed', or 'run'"),
    _field("units", _integer, "units on which all arms of the design have a score"),
    _field("df", _number, "degrees of freedom of the effects' variance", nullable=True),
    _field("claim", _text, "what the effect is a statement about; empty where nothing was run twice"),
)

VARIANCE = _schema(
    "variance",
    _field("source", _text, "'fold', 'initialisation', 'batch order', 'augmentation', or 'what is left'"),
    _field(
        "sd", _number, "standard deviation of a score that it makes; 0 where the estimate of its square is below", "1"
    ),
    _field("sd_low", _number, "95 % interval of it alone", "1"),
    _field("sd_high", _number, "95 % interval of it alone", "1"),
    _field("share", _number, "of the whole variance of a score", "1"),
    _field("share_low", _number, "95 % interval of it alone", "1"),
    _field("share_high", _number, "95 % interval of it alone", "1"),
    _field("p", _number, "of there being none, adjusted for all sources; null for what is left", nullable=True),
    _field("significant", _flag, "p <= 0.05: it can be told from noise; null for what is left", nullable=True),
    _field("df", _integer, "degrees of freedom of its mean square"),
    _field("folds", _integer, "folds whose trials are all there"),
    _field("seeds", _integer, "seeds of each source"),
)
