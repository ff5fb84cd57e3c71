/* Owns the verb `inspect`: what a model is and how large it is, from its headers. */
#include "base/units.h"
#include "checkpoint/fit.h"
#include "checkpoint/open_model.h"
#include "cmd/options.h"
#include "model/weight_choice.h"
#include "session/params.h"

#include <jansson.h>
#include <stdio.h>

static uint64_t inspect_weight_bytes(const struct sw_footprint *f)
{
    uint64_t bytes = f->embed_bytes + f->head_bytes - f->tied_bytes;
    for (int i = 0; i < f->n_layers; i++)
        bytes += f->layers[i].weight_bytes;
    return bytes;
}

/* The format that most of the weights have in the files. */
static const char *inspect_stored(const struct sw_model *model)
{
    return sw_format_of(sw_params_weights(SW_FORMAT_NONE, model, model->dtype))->name;
}

/* Bytes of the weights as --weights `name` keeps them (NULL: as they are stored), and of the KV
 * cache of one position. */
static enum sw_status inspect_weigh(const struct sw_model *model, const char *name,
                                    uint64_t *weights, uint64_t *kv_row)
{
    struct sw_footprint f;
    struct sw_footprint_params params;
    struct sw_session_settings settings = {.kv = SW_OTHER, .context = 1};
    if (name)
        SW_TRY(sw_weight_choice_parse(name, SW_CHOICE_KEPT, &settings.weights));
    SW_TRY(sw_params_resolve(&settings, model, model->dtype, 0, &params));
    SW_TRY(sw_footprint_of(model, &params, &f));
    *weights = inspect_weight_bytes(&f);
    *kv_row = 0;
    for (int i = 0; i < f.n_layers; i++)
        *kv_row += f.layers[i].kv_row_bytes;
    sw_footprint_free(&f);
    return SW_OK;
}

static enum sw_status inspect_print_json(const struct sw_model *model)
{
    const struct sw_dims *d = &model->dims;
    const char *name;
    uint64_t stored_bytes, stored_kv;
    SW_TRY(inspect_weigh(model, NULL, &stored_bytes, &stored_kv));
    json_t *formats = json_object();
    for (int i = 0; (name = sw_weight_choice_name(SW_CHOICE_KEPT, i)); i++) {
        uint64_t weights, kv;
        const enum sw_status status = inspect_weigh(model, name, &weights, &kv);
        if (status == SW_OK) {
            json_object_set_new(formats, name,
                                json_pack("{s:I, s:I}", "weight_bytes", (json_int_t)weights,
                                          "kv_bytes_per_token", (json_int_t)kv));
        } else if (status != SW_EUSAGE) { /* a mix that needs a format that is not kept yet */
            json_decref(formats);
            return status;
        }
    }
    sw_error_clear();
    json_t *root = json_pack(
        "{s:s, s:s, s:s, s:{s:s, s:I, s:I}, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:i, "
        "s:i, s:i, s:i, "
        "s:o}",
        "family", model->arch->model_type, "title", model->arch->title, "dtype",
        sw_dtype_info(model->dtype)->name, "stored", "format", inspect_stored(model),
        "weight_bytes", (json_int_t)stored_bytes, "kv_bytes_per_token", (json_int_t)stored_kv,
        "parameters", (json_int_t)sw_model_parameters(model), "layers", d->n_layers, "hidden_size",
        d->hidden, "heads", d->n_heads, "kv_heads", d->n_kv_heads, "head_dim", d->head_dim, "ffn",
        d->ffn, "vocab", d->vocab, "context", d->context, "tied", d->tied, "experts", d->n_experts,
        "experts_used", d->n_experts_used, "layer_inputs", d->input_dim, "borrowing_layers",
        d->borrowers, "formats", formats);
    if (!root)
        return sw_fail(SW_ENOMEM, "no memory for the report");
    json_dumpf(root, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(root);
    return SW_OK;
}

static void inspect_put_states(const struct sw_model *model)
{
    const uint64_t each = (uint64_t)sw_delta_floats(&model->dims.delta) * sizeof(float);
    char size[16];
    int n = 0;
    for (int i = 0; i < model->dims.n_layers; i++)
        n += (model->layer_kinds[i] & SW_LAYER_DELTA) != 0;
    if (n > 0)
        printf("  delta nets   %d of the layers, %s of states a sequence\n", n,
               sw_size_format((uint64_t)n * each, size, sizeof size));
}

/* What some layers have that others do not: inputs of their own, and keys and values of others. */
static void inspect_put_inputs(const struct sw_model *model)
{
    const struct sw_dims *d = &model->dims;
    if (d->input_dim > 0)
        printf(
            "  layer inputs %d for each layer and token, of a table of %.3f million parameters\n",
            d->input_dim, (double)d->input_dim * d->n_layers * d->vocab / 1e6);
    if (d->borrowers > 0)
        printf("  borrowed     the last %d layers take keys and values of earlier ones, MLP %d\n",
               d->borrowers, d->borrower_ffn);
}

static enum sw_status inspect_print_text(const struct sw_model *model, const char *name)
{
    const struct sw_dims *d = &model->dims;
    char size[16], kv_size[16];
    printf("%s: %s (%s)\n", name, model->arch->title, model->arch->model_type);
    const double parameters = (double)sw_model_parameters(model);
    const bool billions = parameters >= 1e9;
    printf("  parameters   %.3f %s, %sstored as %s\n", parameters / (billions ? 1e9 : 1e6),
           billions ? "billion" : "million", model->has_blocks ? "most of them " : "",
           inspect_stored(model));
    printf("  layers       %d, hidden size %d, MLP %d\n", d->n_layers, d->hidden,
           d->n_experts ? d->expert_ffn : d->ffn);
    if (d->n_experts)
        printf("  experts      %d, %d used per token\n", d->n_experts, d->n_experts_used);
    if (d->latent.kv)
        printf("  attention    %d heads of %d, of a position a latent of %d and %d with rope\n",
               d->n_heads, d->latent.plain + d->rotary_dim, d->latent.kv, d->rotary_dim);
    else
        printf("  attention    %d heads of %d, %d key/value heads%s\n", d->n_heads, d->head_dim,
               d->n_kv_heads, d->window ? ", sliding window" : "");
    if (d->whole.dim != d->head_dim || d->whole.n_kv != d->n_kv_heads)
        printf("  no window    %d heads of %d, %d key/value heads%s\n", d->n_heads, d->whole.dim,
               d->whole.n_kv, d->whole.keys_as_values ? ", values are keys" : "");
    inspect_put_states(model);
    inspect_put_inputs(model);
    printf("  vocabulary   %d%s\n", d->vocab, d->tied ? ", head tied to the embedding" : "");
    if (d->context)
        printf("  context      %d positions\n", d->context);
    printf("\n  weights      in memory      KV per token\n");
    const char *format = NULL;
    for (int i = model->has_blocks ? -1 : 0;
         i < 0 || (format = sw_weight_choice_name(SW_CHOICE_KEPT, i)); i++) {
        uint64_t weights, kv;
        const enum sw_status status = inspect_weigh(model, format, &weights, &kv);
        if (status == SW_EUSAGE)
            continue;
        SW_TRY(status);
        printf("  %-10s %11s %17s\n", format ? format : "as stored",
               sw_size_format(weights, size, sizeof size),
               sw_size_format(kv, kv_size, sizeof kv_size));
    }
    sw_error_clear();
    return SW_OK;
}

static enum sw_status inspect(struct sw_call *call)
{
    struct sw_model *model;
    SW_TRY(sw_open_model(call->models[0], &model));
    enum sw_status status = sw_checkpoint_stored(call->models[0], model);
    sw_model_log_warnings(model);
    if (status == SW_OK)
        status = call->options.json ? inspect_print_json(model)
                                    : inspect_print_text(model, call->arguments[0]);
    sw_model_close(model);
    return status;
}

const struct sw_verb sw_verb_inspect = {
    .name = "inspect",
    .alone = true,
    .arguments = "MODEL",
    .min_arguments = 1,
    .max_arguments = 1,
    .n_models = 1,
    .summary = "print what a model is: family, layers, parameters, bytes per weight format",
    .description =
        "MODEL is a directory as the hub publishes it, where a config.json is enough, a GGUF "
        "file,\nollama:NAME in Ollama's local store, or an id like org/name in the hub's local "
        "cache.\n\n"
        "  spillway inspect opt-66b",
    .run = inspect,
};
