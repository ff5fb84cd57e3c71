/* Owns the addresses of a layer's weights in a copy of their block. */
#include "engine/stage_weights.h"

/* The address in the copy of `host`, a part of the block. */
static void *weights_copied(const void *part, const void *from, void *d_to)
{
    return part ? (char *)d_to + ((const char *)part - (const char *)from) : NULL;
}

struct sw_matrix sw_matrix_copied(const struct sw_matrix *m, const void *from, void *d_to)
{
    struct sw_matrix there = *m;
    there.d_data = weights_copied(m->d_data, from, d_to);
    there.d_order = weights_copied(m->d_order, from, d_to);
    return there;
}

void sw_weights_view(const struct sw_weights *w, void *d_block, struct sw_weights *view)
{
    for (int i = 0; i < SW_W_COUNT; i++) {
        view->matrix[i] = sw_matrix_copied(&w->matrix[i], w->d_block, d_block);
        view->d_vector[i] = weights_copied(w->d_vector[i], w->d_block, d_block);
    }
    for (int i = 0; i < SW_MAX_SOURCES - 1; i++)
        view->qkv_rest[i] = sw_matrix_copied(&w->qkv_rest[i], w->d_block, d_block);
    for (int i = 0; i < w->n_experts; i++) {
        view->expert_up[i] = sw_matrix_copied(&w->expert_up[i], w->d_block, d_block);
        view->expert_down[i] = sw_matrix_copied(&w->expert_down[i], w->d_block, d_block);
    }
    view->n_experts = w->n_experts;
}
