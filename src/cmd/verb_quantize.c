/* Owns the verb `quantize`: a model in, a GGUF file of it in other formats out. */
#include "base/log.h"
#include "base/units.h"
#include "cmd/call_session.h"
#include "cmd/output.h"
#include "jobs/quantize.h"

#include <signal.h>
#include <string.h>

static enum sw_status quantize_print(const struct sw_call *call,
                                     const struct sw_weight_choice *choice,
                                     const struct sw_quantize_result *r)
{
    char weights[SW_CHOICE_TEXT], size[16], time[16];
    sw_weight_choice_text(choice, weights);
    if (call->options.json)
        return sw_json_print(json_pack(
            "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:f}", "out", call->arguments[1], "weights",
            weights, "tensors", (json_int_t)r->n_tensors, "tensors_found", (json_int_t)r->n_found,
            "bytes", (json_int_t)r->file_bytes, "bytes_read", (json_int_t)r->read_bytes,
            "peak_host_bytes", (json_int_t)r->peak_bytes, "seconds", r->seconds));
    sw_log(SW_LOG_INFO, "%s: %zu tensors, %s of %s, in %s (%.2f GB/s of what was read)",
           call->arguments[1], r->n_tensors, sw_size_format(r->file_bytes, size, sizeof size),
           weights, sw_seconds_format(r->seconds, time, sizeof time),
           r->seconds > 0 ? (double)r->read_bytes / r->seconds / 1e9 : 0);
    return SW_OK;
}

static enum sw_status quantize(struct sw_call *call)
{
    const struct sw_options *o = &call->options;
    struct sw_quantize_job job = {.in = call->models[0],
                                  .out = call->arguments[1],
                                  .choice = o->weights,
                                  .threads = o->threads,
                                  .quiet = o->quiet};
    const struct sw_transport_options options = {.silence_s = o->timeout, .stop = sw_stop_catch()};
    struct sw_quantize_result result;
    struct sw_transport *t;
    signal(SIGXFSZ, SIG_IGN); /* at the file size limit a write fails instead */
    if (!o->weights.all && !o->weights.words)
        SW_TRY(sw_parse_file_weights(sw_mix_name(sw_mix_usual()), &job.choice));
    SW_TRY(sw_transport_open(&options, &t));
    enum sw_status status = sw_quantize(&job, t, &result);
    if (status == SW_OK && t->rank == 0)
        status = quantize_print(call, &job.choice, &result);
    return sw_transport_finish(t, status);
}

static const struct sw_option own[] = {
    {"weights", 'w', "FORMAT[,…]",
     "write weights as FORMAT; roles may differ: bf16,head=f32 (default of GGUF files: a 4-bit "
     "mix)",
     offsetof(struct sw_options, weights), sw_parse_file_weights},
    {"threads", 't', "N", "threads per rank (default: one per core the rank may use)",
     offsetof(struct sw_options, threads), sw_parse_threads},
    {"timeout", 0, "SECONDS",
     "give up when a peer gives no sign of life for this long (default: 15)",
     offsetof(struct sw_options, timeout), sw_parse_number},
    {0}};

const struct sw_verb sw_verb_quantize = {
    .name = "quantize",
    .arguments = "IN OUT",
    .min_arguments = 2,
    .max_arguments = 2,
    .n_models = 1,
    .summary = "write a model in fewer bits, for this program, llama.cpp or transformers",
    .description = "IN is a directory as the hub publishes it, or a GGUF file. OUT.gguf is a file "
                   "that llama.cpp\n"
                   "loads, too; any other OUT a directory that transformers loads with "
                   "bitsandbytes, and takes one\n"
                   "of its formats. One tensor is made at a time, on all cores and ranks. What was "
                   "interrupted\n"
                   "goes on where it was: OUT.part has the bytes (of a directory its "
                   "model.safetensors.part),\n"
                   "OUT.part.journal says which of them are safe; the file appears when all are. "
                   "What is there\n"
                   "is never written over.\n\n"
                   "  spillway quantize llama-3.1-8b llama.gguf\n"
                   "  spillway quantize llama-3.1-8b llama.gguf --weights bf16\n"
                   "  mpirun -np 2 --bind-to none spillway quantize bloom-176b bloom.gguf",
    .own = {own},
    .run = quantize,
};
