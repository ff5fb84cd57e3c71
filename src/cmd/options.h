/*
 * The command line as tables. A verb is a row: its name, its help, its options and the function
 * that runs it. Options are stored into one struct by offset, so that an option has one name and
 * one meaning in all verbs.
 */
#ifndef SW_CMD_OPTIONS_H
#define SW_CMD_OPTIONS_H

#include "base/status.h"
#include "model/weight_choice.h"
#include "text/ids.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sw_options {
    /* of all verbs */
    bool help, json, quiet, verbose;
    /* placement */
    struct sw_weight_choice weights;
    enum sw_dtype kv;                          /* SW_OTHER: as the weights */
    const char *weights_from;                  /* "random": no weights are read; NULL: from files */
    int context, slots, chunk, threads, ranks; /* 0: chosen by the program */
    uint64_t gpu_memory, host_memory;          /* limits per rank in bytes; UINT64_MAX: none */
    const char *slices, *objective, *cluster, *isa;
    bool svg;
    bool host_only; /* --transport mpi */
    bool share_gpus;
    const char *sbatch; /* path of the job file to write; "-": stdout */
    /* text in and out */
    const char *file; /* path of the prompt; "-": stdin */
    int n;            /* most new tokens */
    bool special, decode, jsonl, no_stream, ignore_end;
    bool chat;          /* messages become a prompt by the model's chat template */
    bool render;        /* print the template's text instead of ids */
    const char *system; /* the system message of a chat */
    int answer;         /* of `chat`: most tokens of an answer; 0: as the context has room */
    /* sampling */
    double temperature, top_p, min_p, repetition_penalty;
    int top_k, logprobs;
    uint64_t seed;
    const char *stop[16];
    int n_stop;
    const char *grammar, *json_schema; /* paths of files to read (call_form.h) */
    bool json_object;
    /* trace and bench */
    const char *tokens, *source, *dump;
    bool hidden, logits;
    const char *layers, *positions; /* lists, as of jobs/trace_choice.h */
    uint64_t shard;                 /* bytes */
    int prompt, repeat;
    double timeout; /* seconds without a heartbeat until a peer counts as lost */
    const char *timeline, *metrics, *routes; /* paths of files to write */
    const char *popularity;                  /* path of routes of an earlier run */
    bool fresh, force;                       /* of batch, score and trace */
    const char *perplexity; /* path of a text to score; "-": stdin. NULL: score reads IN */
    int windows;            /* most windows of a text; 0: all */
    struct sw_weight_choice base_weights; /* of compare's A */
    /* serve */
    int port, max_connections, queue;
    const char *listen, *api_key_file, *allow_origin;
    uint64_t max_body;
    double grace, request_timeout; /* seconds */
};

struct sw_option {
    const char *name;     /* "gpu-memory", without the dashes */
    char letter;          /* 'n'; 0: no short form */
    const char *argument; /* "SIZE"; "[=FILE]": optional, only with "="; NULL: a switch */
    const char *help;     /* '@' in it stands for sw_plain_formats */
    size_t offset;        /* of the field in struct sw_options */
    enum sw_status (*parse)(const char *text, void *field); /* fills the field from the argument */
};

#define SW_MODELS_MAX 2 /* arguments of a verb that are models */

/* What a verb is run with. */
struct sw_call {
    struct sw_options options;
    const char *const *arguments; /* (n_arguments) without options: MODEL, PROMPT, … */
    int n_arguments;
    /* (verb->n_models) the paths that the first arguments mean (checkpoint/model_name.h), or the
     * arguments themselves where they mean none: opening them then says why. */
    const char *models[SW_MODELS_MAX];
    char *found[SW_MODELS_MAX]; /* those of them that are freed; for call_models.c */
    bool measures;              /* measure the machine's speeds even for the smallest model */
    const char *safe;           /* for the message of a failure: where results are; NULL: none */
    double grace_s; /* a signal does not end the job at once: see sw_stop_catch_late; 0: it does */
    const volatile sig_atomic_t *asked_to_stop; /* out, with grace_s */
};

/* Options that several verbs take (option_groups.c); all take --help --json --quiet --verbose. */
enum sw_option_group {
    SW_TAKES_WINDOWS = 1,     /* --windows */
    SW_TAKES_JOBS = 2,        /* --fresh --force --metrics */
    SW_TAKES_SAMPLING = 4,    /* --temperature … */
    SW_TAKES_FORM = 8,        /* --grammar --json-schema --json-object */
    SW_TAKES_PLACEMENT = 16,  /* --weights --context --gpu-memory … */
    SW_TAKES_PROGRESS = 32,   /* --timeline */
    SW_TAKES_ROUTES = 64,     /* --routes */
    SW_TAKES_POPULARITY = 128 /* --popularity */
};
/* What every verb takes that computes what somebody asked a model, … */
#define SW_TAKES_MODEL                                                                             \
    (SW_TAKES_PLACEMENT | SW_TAKES_PROGRESS | SW_TAKES_ROUTES | SW_TAKES_POPULARITY)
/* … and, of these, every verb that generates text by the options of its command line. */
#define SW_TAKES_TEXT (SW_TAKES_SAMPLING | SW_TAKES_FORM | SW_TAKES_MODEL)

#define SW_OWN_MAX 2 /* tables of a verb's own options */

struct sw_verb {
    const char *name;
    const char *arguments; /* "MODEL [PROMPT]" */
    int min_arguments, max_arguments;
    int n_models;                            /* arguments, from the first on, that are models */
    bool alone;                              /* only rank 0 runs it */
    const char *summary;                     /* one line */
    const char *description;                 /* the rest of --help: what it does, examples */
    const struct sw_option *own[SW_OWN_MAX]; /* tables that end with a NULL name; NULL: no more */
    unsigned takes;                          /* set of enum sw_option_group, besides its own */
    /* Leaves the error slot empty when the failure was printed already. */
    enum sw_status (*run)(struct sw_call *call);
};

/* Field parsers. SW_EUSAGE, with what is expected, when the text is not valid. */
enum sw_status sw_parse_flag(const char *text, void *field);         /* bool */
enum sw_status sw_parse_text(const char *text, void *field);         /* const char * */
enum sw_status sw_parse_file(const char *text, void *field);         /* const char *, not empty */
enum sw_status sw_parse_count(const char *text, void *field);        /* int >= 1 */
enum sw_status sw_parse_natural(const char *text, void *field);      /* int >= 0 */
enum sw_status sw_parse_port(const char *text, void *field);         /* int from 0 to 65535 */
enum sw_status sw_parse_threads(const char *text, void *field);      /* int from 1 to SW_CPU_MAX */
enum sw_status sw_parse_seed(const char *text, void *field);         /* uint64_t */
enum sw_status sw_parse_number(const char *text, void *field);       /* double >= 0 */
enum sw_status sw_parse_bytes(const char *text, void *field);        /* uint64_t, "24GiB" */
enum sw_status sw_parse_weights(const char *text, void *field);      /* struct sw_weight_choice */
enum sw_status sw_parse_file_weights(const char *text, void *field); /* of GGUF files */
enum sw_status sw_parse_kv(const char *text, void *field);           /* enum sw_dtype */
enum sw_status sw_parse_output(const char *text, void *field); /* as sw_parse_file; NULL is "-" */
enum sw_status sw_parse_transport(const char *text, void *field); /* bool: mpi */
enum sw_status sw_parse_stop(const char *text, void *field);      /* sw_options.stop, one more */
/* verb_tokens.c: appends the ids of "1,2,3" or "1 2 3", each from 0 to limit - 1; else SW_EINPUT.
 * The caller frees `ids`. */
enum sw_status sw_parse_ids(const char *text, int limit, struct sw_ids *ids);

struct sw_options sw_options_default(void);
/*
 * Parses everything after the verb into *call. Options and arguments may mix; "--" ends options.
 * SW_EUSAGE names the option and the known option most like it. call->arguments points into argv,
 * which is reordered.
 */
enum sw_status sw_options_parse(const struct sw_verb *verb, int argc, char **argv,
                                struct sw_call *call);
/* call_models.c: fills call->models; logs what of a model is not used, unless `quiet`. The caller
 * frees by sw_call_free_models, at the end. */
void sw_call_find_models(const struct sw_verb *verb, struct sw_call *call, bool quiet);
void sw_call_free_models(struct sw_call *call);
/*
 * call_files.c: checks all files that the call writes: those of options, OUT and OUT.job. SW_EUSAGE
 * when one is also read (the model's files, IN, --file, --cluster), is written for two purposes, or
 * cannot be a file. in, out: NULL where the verb has none.
 */
enum sw_status sw_call_files(const struct sw_call *call, const char *in, const char *out);
/* option_groups.c: the i-th option that the verb takes, its own first; NULL past the last. */
const struct sw_option *sw_verb_option(const struct sw_verb *verb, int i);
/* option_formats.c: the i-th format that the option takes; NULL past the last, and of options that
 * take none. */
const char *sw_option_format(const struct sw_option *option, int i);
/* Whether it takes formats of weights, with roles in others (weight_choice.h). */
bool sw_option_has_roles(const struct sw_option *option);
/* The names of formats that are not quantized, `last` before the last one; returns `out`. */
const char *sw_plain_formats(const char *last, char *out, size_t cap);
/* help.c: prints the verb's --help on stdout. */
void sw_options_help(const struct sw_verb *verb);

/* verbs.c: the i-th verb; NULL past the last. */
const struct sw_verb *sw_verb_row(int i);
/* verbs.c: NULL when there is no such verb. */
const struct sw_verb *sw_verb_find(const char *name);

extern const struct sw_verb sw_verb_batch, sw_verb_bench, sw_verb_chat, sw_verb_compare,
    sw_verb_inspect, sw_verb_plan, sw_verb_probe, sw_verb_quantize, sw_verb_run, sw_verb_score,
    sw_verb_serve, sw_verb_tokens, sw_verb_trace;

#endif
