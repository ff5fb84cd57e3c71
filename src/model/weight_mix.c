/* Owns the table of mixes and their rules. */
#include "model/weight_mix.h"

#include <stddef.h>
#include <strings.h>

#define ROLE(role) (1u << SW_ROLE_##role)
#define VALUES (ROLE(V) | ROLE(QKV))
#define DOWNS (ROLE(DOWN) | ROLE(EXPERT_DOWN))
#define OUTPUT ROLE(OUT)

/* Of which layers or models a rule is. */
enum mix_when {
    MIX_ALWAYS,
    MIX_MORE_BITS, /* the first and the last eighth of the layers, of the others each third */
    MIX_FIRST_8TH, /* of the layers */
    MIX_FIRST_16TH,
    MIX_FIRST_2,
    MIX_FIRST_4,
    MIX_SHARED_KV, /* four heads or more share a key/value head */
    MIX_EIGHT_EXPERTS,
};

#define MIX_RULES 6

/* The first rule of a role decides; matrices of no rule are in the base format. */
static const struct sw_mix {
    const char *name;
    unsigned file_type;
    const struct sw_format *base;
    struct mix_rule {
        unsigned roles; /* a set; 0: no more rules */
        enum mix_when when;
        const struct sw_format *format;
    } rules[MIX_RULES];
} mixes[] = {
    {"q2_k",
     10,
     &sw_format_q2_k,
     {{VALUES, MIX_SHARED_KV, &sw_format_q4_k},
      {VALUES, MIX_ALWAYS, &sw_format_q3_k},
      {DOWNS, MIX_ALWAYS, &sw_format_q3_k},
      {OUTPUT, MIX_EIGHT_EXPERTS, &sw_format_q5_k},
      {OUTPUT, MIX_ALWAYS, &sw_format_q3_k}}},
    {"q3_k_s", 11, &sw_format_q3_k, {{OUTPUT, MIX_EIGHT_EXPERTS, &sw_format_q5_k}}},
    {"q3_k_m",
     12,
     &sw_format_q3_k,
     {{VALUES, MIX_FIRST_2, &sw_format_q5_k},
      {VALUES, MIX_ALWAYS, &sw_format_q4_k},
      {DOWNS, MIX_FIRST_16TH, &sw_format_q5_k},
      {DOWNS, MIX_ALWAYS, &sw_format_q4_k},
      {OUTPUT, MIX_EIGHT_EXPERTS, &sw_format_q5_k},
      {OUTPUT, MIX_ALWAYS, &sw_format_q4_k}}},
    {"q3_k_l",
     13,
     &sw_format_q3_k,
     {{VALUES | DOWNS, MIX_ALWAYS, &sw_format_q5_k},
      {OUTPUT, MIX_EIGHT_EXPERTS, &sw_format_q3_k},
      {OUTPUT, MIX_ALWAYS, &sw_format_q5_k}}},
    {"q4_k_s",
     14,
     &sw_format_q4_k,
     {{VALUES, MIX_FIRST_4, &sw_format_q5_k},
      {DOWNS, MIX_FIRST_8TH, &sw_format_q5_k},
      {OUTPUT, MIX_EIGHT_EXPERTS, &sw_format_q5_k}}},
    {"q4_k_m",
     15,
     &sw_format_q4_k,
     {{VALUES | DOWNS, MIX_MORE_BITS, &sw_format_q6_k},
      {OUTPUT, MIX_EIGHT_EXPERTS, &sw_format_q5_k}}},
    {"q5_k_s", 16, &sw_format_q5_k, {{0}}},
    {"q5_k_m", 17, &sw_format_q5_k, {{VALUES | DOWNS, MIX_MORE_BITS, &sw_format_q6_k}}},
    {"q6_k", 18, &sw_format_q6_k, {{0}}},
};
#define N_MIXES ((int)(sizeof mixes / sizeof mixes[0]))

int sw_mix_by_name(const char *name)
{
    for (int i = 0; i < N_MIXES; i++)
        if (strcasecmp(mixes[i].name, name) == 0)
            return i + 1;
    return 0;
}

const char *sw_mix_name(int mix)
{
    return mix >= 1 && mix <= N_MIXES ? mixes[mix - 1].name : NULL;
}

int sw_mix_usual(void)
{
    return sw_mix_by_name("q4_k_m");
}

const struct sw_format *sw_mix_base(int mix)
{
    return mixes[mix - 1].base;
}

unsigned sw_mix_file_type(int mix)
{
    return mixes[mix - 1].file_type;
}

static bool mix_format_is_kept(const struct sw_format *format)
{
    return format->encode && sw_format_id_of(format) != SW_FORMAT_NONE;
}

bool sw_mix_is_kept(int mix)
{
    const struct sw_mix *m = &mixes[mix - 1];
    bool kept = mix_format_is_kept(m->base) && mix_format_is_kept(&sw_format_q6_k);
    for (int i = 0; i < MIX_RULES && m->rules[i].roles; i++)
        kept = kept && mix_format_is_kept(m->rules[i].format);
    return kept;
}

static bool mix_applies(enum mix_when when, const struct sw_mix_shape *shape, int layer)
{
    const int n = shape->n_layers;
    switch (when) {
    case MIX_ALWAYS:
        return true;
    case MIX_MORE_BITS:
        return layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2;
    case MIX_FIRST_8TH:
        return layer < n / 8;
    case MIX_FIRST_16TH:
        return layer < n / 16;
    case MIX_FIRST_2:
        return layer < 2;
    case MIX_FIRST_4:
        return layer < 4;
    case MIX_SHARED_KV:
        return shape->queries >= 4;
    case MIX_EIGHT_EXPERTS:
        return shape->n_experts == 8;
    }
    return false;
}

static const struct sw_format *mix_by_rules(const struct sw_mix *mix,
                                            const struct sw_mix_shape *shape,
                                            enum sw_weight_role role, int layer)
{
    for (int i = 0; i < MIX_RULES && mix->rules[i].roles; i++)
        if (mix->rules[i].roles & 1u << role && mix_applies(mix->rules[i].when, shape, layer))
            return mix->rules[i].format;
    return mix->base;
}

/* Keys and values are small where many heads or experts share them, so more bits cost little. */
static const struct sw_format *mix_of_shared(const struct sw_format *format,
                                             const struct sw_mix_shape *shape,
                                             enum sw_weight_role role)
{
    const bool is_value = VALUES & 1u << role;
    if (shape->n_experts == 8 && (is_value || role == SW_ROLE_K))
        return &sw_format_q8_0;
    /* What is "70B" there: 80 layers, and heads that share keys and values. */
    if (is_value && shape->n_layers == 80 && shape->queries > 1 &&
        (format == &sw_format_q3_k || format == &sw_format_q4_k))
        return &sw_format_q5_k;
    return format;
}

const struct sw_format *sw_mix_format(int mix, const struct sw_mix_shape *shape,
                                      enum sw_weight_role role, int layer, int64_t cols)
{
    const struct sw_mix *m = &mixes[mix - 1];
    if (role == SW_ROLE_OTHER || role == SW_ROLE_ROUTER)
        return NULL;
    if (role == SW_ROLE_HEAD || (role == SW_ROLE_EMBED && shape->tied))
        return sw_format_for_cols(&sw_format_q6_k, cols);
    const struct sw_format *format = mix_by_rules(m, shape, role, layer);
    return sw_format_for_cols(mix_of_shared(format, shape, role), cols);
}

const struct sw_format *sw_format_for_cols(const struct sw_format *format, int64_t cols)
{
    static const struct {
        const struct sw_format *large, *small;
    } others[] = {
        {&sw_format_q2_k, &sw_format_q4_0}, {&sw_format_q3_k, &sw_format_q4_0},
        {&sw_format_q4_k, &sw_format_q5_0}, {&sw_format_q5_k, &sw_format_q5_1},
        {&sw_format_q6_k, &sw_format_q8_0}, {&sw_format_iq4_xs, &sw_format_iq4_nl},
    };
    if (cols % format->block_len == 0)
        return format;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (others[i].large == format && cols % others[i].small->block_len == 0)
            return others[i].small;
    return NULL;
}
