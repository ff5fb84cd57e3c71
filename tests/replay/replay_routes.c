/*
 * Replays recorded routes of experts with caches of several sizes and policies, and prints hit
 * rates; or makes routes up. Needs no model and no GPU.
 *
 *     replay_routes [--capacity N,N,…] FILE      FILE: lines as in docs/formats.md, Routes; -:
 * stdin replay_routes --make [--layers N] [--experts N] [--used N] [--steps N] [--rows N] [--skew
 * X]
 *                   [--repeat P] [--shift N] [--seed N] > FILE
 */
#include "replay/route_lines.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CAPACITIES 32

struct replay_call {
    bool make;
    struct route_shape shape;
    int capacities[MOST_CAPACITIES], n_capacities;
};

enum { MAKE, CAPACITY, LAYERS, EXPERTS, USED, STEPS, ROWS, SKEW, REPEAT, SHIFT, SEED };

static const struct option replay_options[] = {
    {"make", no_argument, NULL, MAKE},           {"capacity", required_argument, NULL, CAPACITY},
    {"layers", required_argument, NULL, LAYERS}, {"experts", required_argument, NULL, EXPERTS},
    {"used", required_argument, NULL, USED},     {"steps", required_argument, NULL, STEPS},
    {"rows", required_argument, NULL, ROWS},     {"skew", required_argument, NULL, SKEW},
    {"repeat", required_argument, NULL, REPEAT}, {"shift", required_argument, NULL, SHIFT},
    {"seed", required_argument, NULL, SEED},     {0}};

static bool replay_capacities(struct replay_call *call, char *text)
{
    for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
        const int n = atoi(word);
        if (n < 1 || call->n_capacities == MOST_CAPACITIES)
            return false;
        call->capacities[call->n_capacities++] = n;
    }
    return true;
}

static bool replay_parse(struct replay_call *call, int argc, char **argv)
{
    struct route_shape *s = &call->shape;
    int *const numbers[] = {[LAYERS] = &s->layers, [EXPERTS] = &s->experts, [USED] = &s->used,
                            [STEPS] = &s->steps,   [ROWS] = &s->rows,       [SHIFT] = &s->shift};
    for (int o; (o = getopt_long(argc, argv, "", replay_options, NULL)) != -1;) {
        if (o == '?' || (o == CAPACITY && !replay_capacities(call, optarg)))
            return false;
        if (o == MAKE)
            call->make = true;
        else if (o == SKEW || o == REPEAT)
            *(o == SKEW ? &s->skew : &s->repeat) = atof(optarg);
        else if (o == SEED)
            s->seed = strtoull(optarg, NULL, 10);
        else if (o != CAPACITY)
            *numbers[o] = atoi(optarg);
    }
    return call->make ? optind == argc : optind + 1 == argc;
}

/* A row of hit rates for a capacity. */
static enum sw_status replay_put(const struct route_uses *r, int capacity)
{
    printf("%8d %5.1f%%", capacity, 100.0 * capacity / (r->routed * r->experts));
    for (const struct cache_policy *p = cache_policies; p->name; p++) {
        const int64_t hits = p->hits(&r->uses, capacity);
        if (hits < 0)
            return sw_fail(SW_ENOMEM, "no memory for a cache of %d experts", capacity);
        printf(" %8.2f", 100.0 * (double)hits / (double)r->uses.n);
    }
    puts("");
    return SW_OK;
}

static enum sw_status replay_file(const struct replay_call *call, const char *name)
{
    static const double shares[] = {0.125, 0.25, 0.375, 0.5, 0.625, 0.75};
    struct route_uses r = {.layers = 0};
    FILE *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "r");
    if (!file)
        return sw_fail(SW_EINPUT, "%s: %s", name, strerror(errno));
    enum sw_status status = route_lines_read(file, name, &r);
    if (file != stdin)
        fclose(file);
    if (status == SW_OK && r.uses.n == 0)
        status = sw_fail(SW_EINPUT, "%s: no experts are chosen", name);
    if (status == SW_OK) {
        printf("%d experts in %d layers, %lld uses in %lld lines; hits in percent\n",
               r.routed * r.experts, r.routed, (long long)r.uses.n, (long long)r.lines - 1);
        printf("capacity  share");
        for (const struct cache_policy *p = cache_policies; p->name; p++)
            printf(" %8s", p->name);
        puts("");
    }
    for (size_t i = 0; status == SW_OK && !call->n_capacities && i < 6; i++) {
        const int capacity = (int)(shares[i] * r.routed * r.experts);
        status = replay_put(&r, capacity > 0 ? capacity : 1);
    }
    for (int i = 0; status == SW_OK && i < call->n_capacities; i++)
        status = replay_put(&r, call->capacities[i]);
    route_uses_free(&r);
    return status;
}

int main(int argc, char **argv)
{
    struct replay_call call = {
        .shape = {
            .layers = 32, .experts = 8, .used = 2, .steps = 1000, .rows = 1, .skew = 1, .seed = 1}};
    if (!replay_parse(&call, argc, argv)) {
        fputs("usage: replay_routes [--capacity N,N,...] FILE\n"
              "       replay_routes --make [--layers N] [--experts N] [--used N] [--steps N]\n"
              "                     [--rows N] [--skew X] [--repeat P] [--shift N] [--seed N]\n",
              stderr);
        return 2;
    }
    const enum sw_status status =
        call.make ? route_lines_make(&call.shape, stdout) : replay_file(&call, argv[optind]);
    if (status != SW_OK)
        fprintf(stderr, "replay_routes: %s\n", sw_error_message());
    return status == SW_OK ? 0 : 3;
}
