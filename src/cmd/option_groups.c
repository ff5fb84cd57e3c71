/* Owns the options of more than one verb, and which of them a verb takes. */
#include "cmd/call_form.h"
#include "cmd/jobs.h"
#include "cmd/options.h"

#define FIELD(name) offsetof(struct sw_options, name)

static const struct sw_option common[] = {
    {"help", 'h', NULL, "show this help", FIELD(help), sw_parse_flag},
    {"json", 0, NULL, "print the result as JSON on stdout", FIELD(json), sw_parse_flag},
    {"quiet", 'q', NULL, "only errors on stderr", FIELD(quiet), sw_parse_flag},
    {"verbose", 'v', NULL, "print more on stderr", FIELD(verbose), sw_parse_flag},
    {0}};

static const struct sw_option placement[] = {
    {"weights", 'w', "FORMAT[,…]",
     "keep weights as FORMAT; roles may differ: bf16,head=f32 (default: as the checkpoint)",
     FIELD(weights), sw_parse_weights},
    {"kv", 0, "FORMAT", "keep the KV cache as @ (default: as the weights)", FIELD(kv), sw_parse_kv},
    {"weights-from", 0, "random",
     "use random weights instead of reading them (config.json is enough)", FIELD(weights_from),
     sw_parse_text},
    {"context", 'c', "N",
     "positions each sequence has room for (default: 2048, or less if the model has less)",
     FIELD(context), sw_parse_count},
    {"slots", 0, "N", "sequences under way at once (default: 1; batch, trace, serve, score: 32)",
     FIELD(slots), sw_parse_count},
    {"chunk", 0, "N", "prompt tokens computed at a time (default: 512)", FIELD(chunk),
     sw_parse_count},
    {"gpu-memory", 0, "SIZE", "use at most this much of each GPU (24GiB, 500M)", FIELD(gpu_memory),
     sw_parse_bytes},
    {"share-gpus", 0, NULL,
     "ranks that outnumber a host's GPUs share them (default: they compute on the CPU)",
     FIELD(share_gpus), sw_parse_flag},
    {"host-memory", 0, "SIZE", "use at most this much host memory per rank", FIELD(host_memory),
     sw_parse_bytes},
    {"slices", 0, "A,B,…", "layers per rank, by hand, instead of the planner's choice",
     FIELD(slices), sw_parse_text},
    {"objective", 0, "GOAL", "latency (one sequence fast) or throughput (a full pipeline)",
     FIELD(objective), sw_parse_text},
    {"threads", 't', "N", "compute threads per rank (default: one per core the rank may use)",
     FIELD(threads), sw_parse_threads},
    {"isa", 0, "NAME", "portable, avx2, avx512 or avx512bf16 (default: the best all ranks have)",
     FIELD(isa), sw_parse_text},
    {"transport", 0, "auto|mpi",
     "mpi: activations go through host memory also between GPUs (default: NCCL where it can)",
     FIELD(host_only), sw_parse_transport},
    {"timeout", 0, "SECONDS",
     "give up when a peer gives no sign of life for this long (default: 15)", FIELD(timeout),
     sw_parse_number},
    {0}};

static const struct sw_option sampling[] = {
    {"temperature", 0, "T", "0 picks the likeliest token (default); higher is more varied",
     FIELD(temperature), sw_parse_number},
    {"top-k", 0, "K", "sample from the K likeliest tokens only (0: all)", FIELD(top_k),
     sw_parse_natural},
    {"top-p", 0, "P", "sample from the fewest tokens with total probability P (1: all)",
     FIELD(top_p), sw_parse_number},
    {"min-p", 0, "P", "drop tokens less likely than P times the likeliest", FIELD(min_p),
     sw_parse_number},
    {"repetition-penalty", 0, "R", "divide the score of tokens seen before by R (1: off)",
     FIELD(repetition_penalty), sw_parse_number},
    {"seed", 0, "N", "the same seed gives the same text (default: 0)", FIELD(seed), sw_parse_seed},
    {0}};

static const struct sw_option progress[] = {
    {"timeline", 0, "FILE",
     "write what every rank does in this run, as a trace for ui.perfetto.dev", FIELD(timeline),
     sw_parse_file},
    {0}};

static const struct sw_option routes[] = {
    {"routes", 0, "FILE", "write which experts each token chooses, as lines of JSON", FIELD(routes),
     sw_parse_file},
    {0}};

static const struct sw_option popularity[] = {
    {"popularity", 0, "FILE",
     "where experts lie on disk: keep first what --routes FILE of an earlier run chose most",
     FIELD(popularity), sw_parse_file},
    {0}};

static const struct sw_option windows[] = {
    {"windows", 0, "N", "score only the first N windows of TEXT", FIELD(windows), sw_parse_count},
    {0}};

/* In the order of --help. */
static const struct {
    unsigned bit; /* enum sw_option_group; 0: of all verbs */
    const struct sw_option *options;
} groups[] = {
    {SW_TAKES_WINDOWS, windows},
    {SW_TAKES_JOBS, sw_options_jobs},
    {SW_TAKES_SAMPLING, sampling},
    {SW_TAKES_FORM, sw_options_form},
    {SW_TAKES_PLACEMENT, placement},
    {SW_TAKES_PROGRESS, progress},
    {SW_TAKES_ROUTES, routes},
    {SW_TAKES_POPULARITY, popularity},
    {0, common},
};

/* The i-th of a table; NULL past its end, with *i less the number of its options. */
static const struct sw_option *group_option(const struct sw_option *options, int *i)
{
    for (; options && options->name; options++)
        if ((*i)-- == 0)
            return options;
    return NULL;
}

const struct sw_option *sw_verb_option(const struct sw_verb *verb, int i)
{
    const struct sw_option *found = NULL;
    for (int own = 0; own < SW_OWN_MAX && !found; own++)
        found = group_option(verb->own[own], &i);
    for (size_t g = 0; g < sizeof groups / sizeof groups[0] && !found; g++)
        if ((groups[g].bit & verb->takes) == groups[g].bit)
            found = group_option(groups[g].options, &i);
    return found;
}
