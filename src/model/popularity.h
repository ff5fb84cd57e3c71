/*
 * How often experts were chosen, counted from a file of routes (docs/formats.md, Routes): what
 * caches of experts are filled with first, and what the planner expects of them.
 */
#ifndef SW_MODEL_POPULARITY_H
#define SW_MODEL_POPULARITY_H

#include "model/model.h"

#define SW_ROUTES_LINE_MAX (16u << 20) /* most bytes of a line of routes */

struct sw_popularity {
    int n_layers, n_experts; /* of the model */
    uint64_t *uses;          /* (n_layers, n_experts) choices of rows */
    int64_t lines;           /* read so far */
};

/* Counts of zero. SW_EUSAGE: the model has no experts; SW_ENOMEM. The caller frees *out by
 * sw_popularity_free, on failure too. */
enum sw_status sw_popularity_init(const struct sw_model *model, struct sw_popularity *out);
/* Takes one line in; the first says what the file is. SW_EINPUT, with what was expected. */
enum sw_status sw_popularity_line(struct sw_popularity *popularity, const char *bytes, size_t n);
/* Reads a whole file, as init and line do; failures name it and the line. SW_EINPUT: nothing was
 * chosen in it. */
enum sw_status sw_popularity_read(const char *path, const struct sw_model *model,
                                  struct sw_popularity *out);
/* The share of a layer's choices that its most popular expert has, its second, …: (n_experts), the
 * mean of the layers of which there are any. The caller frees; NULL: no memory. */
double *sw_popularity_shares(const struct sw_popularity *popularity);
/* What --popularity FILE gives: shares as above, and if `uses` is not NULL the counts, too. The
 * caller frees both. As sw_popularity_read. */
enum sw_status sw_popularity_learn(const char *path, const struct sw_model *model, double **shares,
                                   uint64_t **uses);
void sw_popularity_free(struct sw_popularity *popularity);

#endif
