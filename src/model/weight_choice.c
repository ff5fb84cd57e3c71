/* Owns the words of --weights: formats, mixes, roles. */
#include "model/weight_choice.h"

#include "base/nearest_word.h"
#include "model/model.h"
#include "model/weight_format.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ROLE(role) (1u << SW_ROLE_##role)
#define QKV (ROLE(QKV) | ROLE(Q) | ROLE(K) | ROLE(V))

/* Words for roles; one that names several stands before those of single ones. */
static const struct {
    const char *word;
    unsigned roles; /* a set */
} words[] = {
    {"attention", QKV | ROLE(OUT)},
    {"mlp", ROLE(UP) | ROLE(DOWN)},
    {"experts", ROLE(EXPERT_UP) | ROLE(EXPERT_DOWN)},
    {"router", ROLE(ROUTER)},
    {"embedding", ROLE(EMBED)},
    {"head", ROLE(HEAD)},
    {"qkv", QKV},
    {"q", ROLE(Q)},
    {"k", ROLE(K)},
    {"v", ROLE(V)},
    {"out", ROLE(OUT)},
    {"up", ROLE(UP)},
    {"down", ROLE(DOWN)},
    {"experts-up", ROLE(EXPERT_UP)},
    {"experts-down", ROLE(EXPERT_DOWN)},
};
#define N_WORDS ((int)(sizeof words / sizeof words[0]))
#define ITEM_MAX 48 /* bytes of an item in a message */

const char *sw_weight_choice_word(int i)
{
    return i >= 0 && i < N_WORDS ? words[i].word : NULL;
}

/* ---- formats and mixes by name */

static const struct sw_format *const choice_formats[] = {
#define X(id, name) &sw_format_##name,
    SW_FORMATS(X)
#undef X
};
#define N_FORMATS ((int)(sizeof choice_formats / sizeof choice_formats[0]))

/* Elements have a number in GGUF files, too, but the table of formats does not need it. */
static bool choice_has(enum sw_choice_kind kind, const struct sw_format *format)
{
    if (kind == SW_CHOICE_KEPT)
        return sw_format_id_of(format) != SW_FORMAT_NONE;
    const bool in_gguf = format->ggml_type || format->dtype != SW_OTHER;
    return format->encode && (kind == SW_CHOICE_FILE || in_gguf);
}

static bool choice_has_mix(enum sw_choice_kind kind, int mix)
{
    return kind == SW_CHOICE_KEPT ? sw_mix_is_kept(mix) : sw_mix_base(mix)->encode != NULL;
}

const char *sw_weight_choice_name(enum sw_choice_kind kind, int i)
{
    for (int f = 0; f < N_FORMATS; f++)
        if (choice_has(kind, choice_formats[f]) && i-- == 0)
            return choice_formats[f]->name;
    for (int mix = 1; sw_mix_name(mix); mix++) {
        const bool twice = strcmp(sw_mix_name(mix), sw_mix_base(mix)->name) == 0;
        if (!twice && choice_has_mix(kind, mix) && i-- == 0)
            return sw_mix_name(mix);
    }
    return NULL;
}

static const struct sw_format *choice_format(enum sw_choice_kind kind, const char *name)
{
    enum sw_format_id id;
    if (sw_format_by_name(name, &id) && choice_has(kind, sw_format_of(id)))
        return sw_format_of(id);
    for (int i = 0; i < N_FORMATS; i++)
        if (choice_has(kind, choice_formats[i]) && strcasecmp(choice_formats[i]->name, name) == 0)
            return choice_formats[i];
    return NULL;
}

static enum sw_status choice_unknown(const char *item, const char *name, bool mixes,
                                     enum sw_choice_kind kind)
{
    struct sw_nearest nearest = sw_nearest_to(name);
    const char *known;
    char all[512] = "";
    size_t used = 0;
    for (int i = 0; (known = sw_weight_choice_name(kind, i)); i++) {
        if (!mixes && !choice_format(kind, known))
            continue;
        sw_nearest_try(&nearest, known);
        if (used < sizeof all)
            used +=
                (size_t)snprintf(all + used, sizeof all - used, "%s%s", used ? ", " : "", known);
    }
    if (item == name)
        return sw_fail(SW_EUSAGE, "'%s' is not one of %s%s%s%s", name, all,
                       nearest.best ? "; did you mean '" : "", nearest.best ? nearest.best : "",
                       nearest.best ? "'?" : "");
    return sw_fail(SW_EUSAGE, "'%s': '%s' is not one of %s%s%s%s", item, name, all,
                   nearest.best ? "; did you mean '" : "", nearest.best ? nearest.best : "",
                   nearest.best ? "'?" : "");
}

/* ---- items */

static enum sw_status choice_take_first(const char *item, enum sw_choice_kind kind,
                                        struct sw_weight_choice *out)
{
    const int mix = sw_mix_by_name(item);
    if (mix && choice_has_mix(kind, mix)) {
        out->mix = mix;
        out->all = sw_mix_base(mix);
        return SW_OK;
    }
    out->all = choice_format(kind, item);
    return out->all ? SW_OK : choice_unknown(item, item, true, kind);
}

static enum sw_status choice_take_role(const char *item, size_t n_word, enum sw_choice_kind kind,
                                       struct sw_weight_choice *out)
{
    char word[ITEM_MAX], all[256] = "";
    size_t used = 0;
    int i = 0;
    snprintf(word, sizeof word, "%.*s", (int)n_word, item);
    struct sw_nearest nearest = sw_nearest_to(word);
    for (; i < N_WORDS && strcasecmp(words[i].word, word) != 0; i++) {
        sw_nearest_try(&nearest, words[i].word);
        used +=
            (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", words[i].word);
    }
    if (i == N_WORDS)
        return sw_fail(SW_EUSAGE, "'%s': '%s' is not one of the roles %s%s%s%s", item, word, all,
                       nearest.best ? "; did you mean '" : "", nearest.best ? nearest.best : "",
                       nearest.best ? "'?" : "");
    if (out->words & 1u << i)
        return sw_fail(SW_EUSAGE, "'%s': %s has a format already", item, words[i].word);
    const struct sw_format *format = choice_format(kind, item + n_word + 1);
    if (!format)
        return choice_unknown(item, item + n_word + 1, false, kind);
    out->words |= 1u << i;
    for (int role = 0; role < SW_ROLE_COUNT; role++)
        if (words[i].roles & 1u << role)
            out->by_role[role] = format;
    return SW_OK;
}

enum sw_status sw_weight_choice_parse(const char *text, enum sw_choice_kind kind,
                                      struct sw_weight_choice *out)
{
    *out = (struct sw_weight_choice){0};
    for (const char *at = text;; at++) {
        char item[ITEM_MAX];
        const size_t n = strcspn(at, ",");
        if (n >= sizeof item)
            return sw_fail(SW_EUSAGE, "'%.*s…' is no format and no ROLE=FORMAT", ITEM_MAX, at);
        snprintf(item, sizeof item, "%.*s", (int)n, at);
        const size_t n_word = strcspn(item, "=");
        if (item[n_word])
            SW_TRY(choice_take_role(item, n_word, kind, out));
        else if (at == text)
            SW_TRY(choice_take_first(item, kind, out));
        else
            return sw_fail(SW_EUSAGE,
                           "'%s': what follows the first item is ROLE=FORMAT, as head=%s", item,
                           choice_formats[0]->name);
        at += n;
        if (!*at)
            return SW_OK;
    }
}

/* ---- as text */

/* The format of the first of these roles; NULL: not all of them are asked. */
static const struct sw_format *choice_of_roles(const struct sw_weight_choice *choice,
                                               unsigned roles)
{
    const struct sw_format *format = NULL;
    for (int role = SW_ROLE_COUNT - 1; role >= 0; role--) {
        if (roles & 1u << role && !choice->by_role[role])
            return NULL;
        if (roles & 1u << role)
            format = choice->by_role[role];
    }
    return format;
}

/* *said: what the words before say. False: they say this one, too. */
static bool choice_add_word(struct sw_weight_choice *said, unsigned roles,
                            const struct sw_format *format)
{
    bool is_new = false;
    for (int role = 0; role < SW_ROLE_COUNT; role++)
        if (roles & 1u << role && said->by_role[role] != format) {
            said->by_role[role] = format;
            is_new = true;
        }
    return is_new;
}

void sw_weight_choice_put(const struct sw_weight_choice *choice, struct sw_strbuf *out)
{
    struct sw_weight_choice said = {0};
    const char *comma = "";
    if (choice->all) {
        sw_strbuf_puts(out, choice->mix ? sw_mix_name(choice->mix) : choice->all->name);
        comma = ",";
    }
    for (int i = 0; i < N_WORDS; i++) {
        const struct sw_format *format = choice_of_roles(choice, words[i].roles);
        if (!format)
            continue;
        bool as_said = true;
        for (int role = 0; role < SW_ROLE_COUNT; role++)
            as_said = as_said && (!(words[i].roles & 1u << role) ||
                                  said.by_role[role] == choice->by_role[role]);
        if (as_said || !choice_add_word(&said, words[i].roles, format))
            continue;
        sw_strbuf_printf(out, "%s%s=%s", comma, words[i].word, format->name);
        comma = ",";
    }
    if (!*comma)
        sw_strbuf_puts(out, "as stored");
}

const char *sw_weight_choice_text(const struct sw_weight_choice *choice, char *out)
{
    struct sw_strbuf text = {0};
    sw_weight_choice_put(choice, &text);
    snprintf(out, SW_CHOICE_TEXT, "%s", text.failed || !text.text ? "?" : text.text);
    sw_strbuf_free(&text);
    return out;
}

const char *sw_weights_text(const struct sw_footprint_params *params, char *out)
{
    const struct sw_weight_choice choice = sw_weight_choice_of(params);
    return sw_weight_choice_text(&choice, out);
}

/* ---- choices and models */

struct sw_mix_shape sw_mix_shape_of(const struct sw_model *model)
{
    const struct sw_dims *d = &model->dims;
    return (struct sw_mix_shape){.n_layers = d->n_layers,
                                 .n_experts = d->n_experts,
                                 .queries = d->n_heads / d->n_kv_heads,
                                 .tied = d->tied};
}

/* The roles that the model's matrices have, a set. */
static unsigned choice_roles_of(const struct sw_model *model)
{
    const size_t n = model->first_weight[model->dims.n_layers + 1];
    unsigned roles = 0;
    for (size_t i = 0; i < n; i++)
        for (int s = 0; s < model->weights[i].n_sources && model->weights[i].is_matrix; s++)
            roles |= 1u << sw_weight_role(&model->weights[i], s);
    return roles;
}

/* Where the head is the embedding, what is asked for one is asked for both. */
static enum sw_status choice_tie(struct sw_weight_choice *choice)
{
    const struct sw_format **embed = &choice->by_role[SW_ROLE_EMBED],
                           **head = &choice->by_role[SW_ROLE_HEAD];
    if (*embed && *head && *embed != *head)
        return sw_fail(SW_EUSAGE,
                       "--weights embedding=%s,head=%s: the model's head is its embedding, which "
                       "is kept once; ask for one of them",
                       (*embed)->name, (*head)->name);
    if (*embed)
        *head = *embed;
    *embed = *head;
    return SW_OK;
}

enum sw_status sw_weight_choice_resolve(const struct sw_weight_choice *choice,
                                        const struct sw_model *model,
                                        struct sw_weight_choice *resolved)
{
    const unsigned roles = choice_roles_of(model);
    *resolved = *choice;
    for (int i = 0; i < N_WORDS; i++)
        if (choice->words & 1u << i && !(words[i].roles & roles))
            return sw_fail(SW_EUSAGE, "--weights %s=%s: %s has no such matrices", words[i].word,
                           choice_of_roles(choice, words[i].roles)
                               ? choice_of_roles(choice, words[i].roles)->name
                               : "…",
                           model->arch->title);
    return model->dims.tied ? choice_tie(resolved) : SW_OK;
}

/* Formats that the mix takes for this model must be ones that weights can be kept in. */
static enum sw_status choice_check_mix(const struct sw_model *model, int mix,
                                       const struct sw_mix_shape *shape)
{
    const size_t n = model->first_weight[model->dims.n_layers + 1];
    for (size_t i = 0; i < n; i++) {
        const struct sw_weight_spec *spec = &model->weights[i];
        for (int s = 0; s < spec->n_sources && spec->is_matrix; s++) {
            const struct sw_format *format =
                sw_mix_format(mix, shape, sw_weight_role(spec, s), spec->layer, spec->cols);
            if (format && sw_format_id_of(format) == SW_FORMAT_NONE)
                return sw_fail(SW_EUSAGE,
                               "--weights %s: it takes %s for matrices of %lld columns, which "
                               "weights cannot be kept in yet",
                               sw_mix_name(mix), format->name, (long long)spec->cols);
        }
    }
    return SW_OK;
}

enum sw_status sw_weight_choice_apply(const struct sw_weight_choice *choice,
                                      const struct sw_model *model,
                                      struct sw_footprint_params *params)
{
    struct sw_weight_choice c;
    SW_TRY(sw_weight_choice_resolve(choice, model, &c));
    params->mix = (uint8_t)c.mix;
    params->mix_shape = sw_mix_shape_of(model);
    if (c.mix)
        SW_TRY(choice_check_mix(model, c.mix, &params->mix_shape));
    if (c.all)
        params->weights = sw_format_id_of(c.all);
    for (int role = 0; role < SW_ROLE_COUNT; role++)
        params->by_role[role] =
            c.by_role[role] ? (uint8_t)(1 + (int)sw_format_id_of(c.by_role[role])) : 0;
    return SW_OK;
}

const struct sw_format *sw_weight_choice_format(const struct sw_weight_choice *choice,
                                                const struct sw_mix_shape *shape,
                                                const struct sw_weight_spec *spec, int source)
{
    const enum sw_weight_role role = sw_weight_role(spec, source);
    if (choice->by_role[role])
        return choice->by_role[role];
    if (choice->mix)
        return sw_mix_format(choice->mix, shape, role, spec->layer, spec->cols);
    const bool is_plain = choice->all && choice->all->dtype != SW_OTHER;
    return spec->is_linear || is_plain ? choice->all : NULL;
}

struct sw_weight_choice sw_weight_choice_of(const struct sw_footprint_params *params)
{
    struct sw_weight_choice choice = {.all = sw_format_of(params->weights), .mix = params->mix};
    for (int role = 0; role < SW_ROLE_COUNT; role++)
        if (params->by_role[role])
            choice.by_role[role] = sw_format_of((enum sw_format_id)(params->by_role[role] - 1));
    return choice;
}
