/* Owns the choice of experts. */
#include "engine/expert_choice.h"

#include <math.h>

/* The indices of the `wanted` largest of n scores. */
static void choice_largest(const float *scores, int n, int wanted, int32_t *chosen)
{
    for (int i = 0; i < wanted; i++) {
        int best = -1;
        for (int e = 0; e < n; e++) {
            bool taken = false;
            for (int j = 0; j < i; j++)
                taken = taken || chosen[j] == e;
            if (!taken && (best < 0 || scores[e] > scores[best]))
                best = e;
        }
        chosen[i] = best;
    }
}

/* Leaves the scores of the best groups: of those whose `best` best experts have the largest sum.
 * room: (n_groups). */
static void choice_keep_groups(const struct sw_dims *d, int best, float *scores, float *sums,
                               int32_t *kept)
{
    const int size = d->n_experts / d->n_groups, pair = size < best ? size : best;
    for (int g = 0; g < d->n_groups; g++) {
        const float *group = scores + g * size;
        int32_t two[2] = {0, 0};
        choice_largest(group, size, pair, two);
        sums[g] = group[two[0]] + (pair == 2 ? group[two[1]] : 0);
    }
    choice_largest(sums, d->n_groups, d->n_groups_used, kept);
    for (int g = 0; g < d->n_groups; g++) {
        bool is_kept = false;
        for (int i = 0; i < d->n_groups_used; i++)
            is_kept = is_kept || kept[i] == g;
        for (int e = 0; e < size && !is_kept; e++)
            scores[g * size + e] = -INFINITY;
    }
}

/* What turns a router's product into a score. */
struct scoring {
    bool sigmoid;
    float max, sum; /* of a softmax */
};

static float choice_score(const struct scoring *s, float product)
{
    return s->sigmoid ? 1 / (1 + expf(-product)) : expf(product - s->max) / s->sum;
}

static struct scoring choice_scoring(const struct sw_model *model, const float *products)
{
    struct scoring s = {model->arch->sigmoid_router, products[0], 0};
    for (int e = 1; e < model->dims.n_experts; e++)
        s.max = products[e] > s.max ? products[e] : s.max;
    for (int e = 0; e < model->dims.n_experts && !s.sigmoid; e++)
        s.sum += expf(products[e] - s.max);
    return s;
}

void sw_choose_experts(const struct sw_model *model, struct sw_expert_scores row, int32_t *chosen,
                       float *shares)
{
    const struct sw_dims *d = &model->dims;
    const struct scoring s = choice_scoring(model, row.scores);
    const float factor = d->routed_scale * d->residual_scale;
    const float *by = row.scores; /* scores grow with products, so these do */
    float kept = 0;
    if (row.correction || d->n_groups > 1) {
        for (int e = 0; e < d->n_experts; e++)
            row.room[e] =
                choice_score(&s, row.scores[e]) + (row.correction ? row.correction[e] : 0);
        by = row.room;
    }
    if (d->n_groups > 1)
        choice_keep_groups(d, model->arch->best_of_group ? 1 : 2, row.room, row.room + d->n_experts,
                           row.groups);
    choice_largest(by, d->n_experts, d->n_experts_used, chosen);
    for (int i = 0; i < d->n_experts_used; i++) {
        shares[i] = choice_score(&s, row.scores[chosen[i]]);
        kept += shares[i];
    }
    for (int i = 0; i < d->n_experts_used && d->norm_topk; i++)
        shares[i] /= kept;
    for (int i = 0; i < d->n_experts_used && row.factors; i++)
        shares[i] *= row.factors[chosen[i]];
    for (int i = 0; i < d->n_experts_used && factor != 1; i++)
        shares[i] *= factor;
}
