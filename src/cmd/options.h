/*
 * The command line as tables. A verb is a row: its name, its help, the options it takes and the
 * function that runs it. Options write into one struct by offset, so that a meaning has one name
 * and one spelling whichever verb takes it.
 */
#ifndef SW_CMD_OPTIONS_H
#define SW_CMD_OPTIONS_H

#include "base/status.h"
#include "tensor/dtype.h"
#include "text/ids.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sw_options {
    /* everywhere */
    bool help, json, quiet, verbose;
    /* placement */
    enum sw_dtype weights;                     /* SW_OTHER: as the checkpoint has them */
    enum sw_dtype kv;                          /* SW_OTHER: as the weights */
    const char *weights_from;                  /* "random": no file is read */
    int context, slots, chunk, threads, ranks; /* 0: chosen by the program */
    uint64_t gpu_memory, host_memory;          /* caps per rank; UINT64_MAX: none */
    const char *slices, *objective, *cluster, *isa;
    bool svg;
    bool host_only; /* --transport mpi */
    bool share_gpus;
    const char *sbatch; /* a job file goes here; "-": stdout */
    /* text in and out */
    const char *file; /* prompt or ids from here; "-": stdin */
    int n;            /* new tokens */
    bool special, decode, jsonl, no_stream, ignore_end;
    bool chat, render;  /* through the model's chat template; its text instead of the ids */
    const char *system; /* the system message of a chat */
    /* sampling */
    double temperature, top_p, min_p, repetition_penalty;
    int top_k, logprobs;
    uint64_t seed;
    const char *stop[16];
    int n_stop;
    /* trace and bench */
    const char *tokens, *dump;
    bool hidden;
    int prompt, repeat;
    double timeout;                 /* seconds without a sign of life from a peer */
    const char *timeline, *metrics; /* files */
    bool fresh, force;              /* jobs */
};

struct sw_option {
    const char *name;     /* "gpu-memory", without the dashes */
    char letter;          /* 'n', or 0 */
    const char *argument; /* "SIZE"; "[=FILE]": only with "="; NULL: a switch */
    const char *help;
    size_t offset; /* of the field in struct sw_options, and … */
    enum sw_status (*parse)(const char *text, void *field); /* … what fills it */
};

/* What a verb is run with. */
struct sw_call {
    struct sw_options options;
    const char *const *arguments; /* what is left of the line: MODEL, PROMPT, …; NULL-terminated */
    int n_arguments;
    bool measures;    /* takes its time: speeds are looked at even for the smallest model */
    const char *safe; /* what a failure leaves unharmed, for its message; NULL: nothing to say */
};

struct sw_verb {
    const char *name;
    const char *arguments; /* "MODEL [PROMPT]" */
    int min_arguments, max_arguments;
    bool alone;                            /* one process does it: of many ranks, the first */
    const char *summary;                   /* one line */
    const char *description;               /* the rest of --help: what it does, an example or two */
    const struct sw_option *const *groups; /* NULL-terminated list of name-NULL-terminated tables */
    /* A failure that has been printed already leaves the error slot empty. */
    enum sw_status (*run)(struct sw_call *call);
};

/* Groups that several verbs share. */
extern const struct sw_option sw_options_common[];    /* --help --json --quiet --verbose */
extern const struct sw_option sw_options_placement[]; /* --weights --context --gpu-memory … */
extern const struct sw_option sw_options_sampling[];  /* --temperature … */
extern const struct sw_option sw_options_progress[];  /* --timeline, for sw_session_start */

/* Field parsers. Each refuses with SW_EUSAGE and says what it wants. */
enum sw_status sw_parse_flag(const char *text, void *field);    /* bool */
enum sw_status sw_parse_text(const char *text, void *field);    /* const char * */
enum sw_status sw_parse_file(const char *text, void *field);    /* const char *, not empty */
enum sw_status sw_parse_count(const char *text, void *field);   /* int >= 1 */
enum sw_status sw_parse_natural(const char *text, void *field); /* int >= 0 */
enum sw_status sw_parse_threads(const char *text, void *field); /* int from 1 to SW_CPU_MAX */
enum sw_status sw_parse_seed(const char *text, void *field);    /* uint64_t */
enum sw_status sw_parse_number(const char *text, void *field);  /* double >= 0 */
enum sw_status sw_parse_bytes(const char *text, void *field);   /* uint64_t, "24GiB" */
enum sw_status sw_parse_weights(const char *text, void *field);
enum sw_status sw_parse_kv(const char *text, void *field);        /* enum sw_dtype */
enum sw_status sw_parse_place(const char *text, void *field);     /* sw_parse_file, no value: "-" */
enum sw_status sw_parse_transport(const char *text, void *field); /* bool: mpi */
enum sw_status sw_parse_stop(const char *text, void *field);      /* sw_options.stop, one more */
/* "1,2,3" or "1 2 3", each below `limit`, appended. verb_tokens.c */
enum sw_status sw_parse_ids(const char *text, int limit, struct sw_ids *ids);

struct sw_options sw_options_default(void);
/*
 * Parses everything after the verb; options and arguments may mix, "--" ends options. SW_EUSAGE
 * names the option and the nearest known spelling. arguments[] points into argv.
 */
enum sw_status sw_options_parse(const struct sw_verb *verb, int argc, char **argv,
                                struct sw_call *call);
/*
 * SW_EUSAGE when a file that an option (or OUT, with OUT.job beside it) names for writing is one
 * that is read (the model's files, IN, --file, --cluster) or written otherwise, or no file at all.
 * in, out: NULL where the verb has none. call_files.c
 */
enum sw_status sw_call_files(const struct sw_call *call, const char *in, const char *out);
/*
 * Hands everything printed so far to the system. SW_EIO: some of it, now or before, could not be
 * written. output.c
 */
enum sw_status sw_output_flush(void);
/* Right after standard input seems to have ended: SW_EIO when it could not be read. output.c */
enum sw_status sw_input_check(void);
/* The verb's --help on stdout. */
void sw_options_help(const struct sw_verb *verb);

/* verbs.c: the list, NULL past the last. */
const struct sw_verb *sw_verb_row(int i);
const struct sw_verb *sw_verb_find(const char *name);

extern const struct sw_verb sw_verb_batch, sw_verb_bench, sw_verb_inspect, sw_verb_plan,
    sw_verb_probe, sw_verb_run, sw_verb_score, sw_verb_tokens, sw_verb_trace;

#endif
