/* The planner against a brute force with its own arithmetic, on thousands of small clusters. */
#include "oracle.h"
#include "random_case.h"
#include "unit.h"

/* What the plans chose, to see that every choice comes up. */
static struct {
    int fit, passing, passing_with_gpu, streamed, together, disk, disk_on_gpu, disk_and_streamed,
        by_expert, cached, cached_on_gpu, streamed_by_expert;
} seen;

static void note(const struct sw_plan *plan)
{
    bool passing = false, with_gpu = false, streamed = false, disk = false, together = false;
    bool disk_on_gpu = false, both = false, by_expert = false, cached = false;
    bool on_gpu = false, by_bus = false;
    for (int r = 0; r < plan->n_ranks; r++) {
        const struct sw_plan_stage *s = &plan->stages[r];
        passing |= s->stream_prompt;
        with_gpu |= s->stream_prompt && s->tiers.n_gpu > 0;
        streamed |= s->tiers.n_streamed > 0;
        together |= s->tiers.n_streamed > 0 && s->tiers.n_host > 0;
        disk |= s->tiers.n_disk > 0;
        disk_on_gpu |= s->tiers.disk_on_gpu;
        by_expert |= s->tiers.by_expert;
        cached |= s->tiers.cached_experts > 0;
        on_gpu |= s->tiers.cached_experts > 0 && (s->tiers.disk_on_gpu || s->tiers.n_streamed);
        by_bus |= s->tiers.by_expert && s->tiers.n_streamed > 0;
        both |= s->tiers.disk_on_gpu && s->tiers.n_streamed > 0;
    }
    seen.fit++;
    seen.passing += passing;
    seen.passing_with_gpu += with_gpu;
    seen.streamed += streamed;
    seen.together += together;
    seen.disk += disk;
    seen.disk_on_gpu += disk_on_gpu;
    seen.disk_and_streamed += both;
    seen.by_expert += by_expert;
    seen.cached += cached;
    seen.cached_on_gpu += on_gpu;
    seen.streamed_by_expert += by_bus;
}
/* One random case; returns whether it fits. */
static bool compare(uint64_t seed, int most_ranks)
{
    static void (*const favours[8])(struct sw_footprint *, struct sw_cluster *) = {
        [0] = favour_prompts, [4] = favour_prompts, [6] = favour_both};

    struct sw_layer_footprint layers[LAYERS];
    struct sw_footprint fp;
    struct sw_cluster cl;
    struct sw_plan_options o;
    struct sw_plan plan;
    int slices[RANKS];
    char why[256];
    state = seed * 2654435761u + 12345;
    random_footprint(&fp, layers, favours[seed % 8] ? LAYERS - 1 : 1);
    random_cluster(&cl, most_ranks);
    if (favours[seed % 8])
        favours[seed % 8](&fp, &cl);
    random_options(&o, &cl, fp.n_layers, slices);
    struct oracle q = {.fp = &fp, .cl = &cl, .o = &o, .n_ranks = sw_cluster_n_ranks(&cl)};
    for (int r = 0; r < q.n_ranks; r++) {
        sw_cluster_rank(&cl, r, &q.node[r], &q.device[r]);
        q.ranks_of[q.node[r]]++;
    }
    const enum sw_status status = sw_plan_make(&fp, &cl, &o, &plan);
    const int groups = o.groups > 0 ? o.groups : q.n_ranks;
    q.batch = o.micro_batch ? o.micro_batch
              : o.objective == SW_OBJECTIVE_THROUGHPUT && fp.params.slots > groups
                  ? fp.params.slots / groups
                  : 1;
    q.position = o.position >= 0 ? o.position
                                 : (int)fmin(fp.params.context, o.prompt_tokens + o.new_tokens / 2);
    weigh_request(&q);
    place(&q, 0, 0, -1, 0, 0, 0);
    bool good = status == (q.found ? SW_OK : SW_ENOFIT) && plan.fits == q.found;
    if (good && q.found) {
        double v[2];
        plan_value(&plan, &q, v);
        note(&plan);
        CU_ASSERT(disk_is_told(&plan, &q));
        /* times are whole picoseconds: a few of them may be off, of a prompt's so much the more */
        const double off = 1e-10 * (1 + q.prompt_share);
        good = fabs(v[0] - q.best[0]) <= 1e-9 * q.best[0] + off &&
               fabs(v[1] - q.best[1]) <= 1e-9 * q.best[1] + off;
        if (!good)
            printf("    seed %llu: planned %.15g %.15g, brute force %.15g %.15g\n",
                   (unsigned long long)seed, v[0], v[1], q.best[0], q.best[1]);
        if (!sw_plan_check(&plan, &fp, &cl, &o, why, sizeof why)) {
            printf("    seed %llu: %s\n", (unsigned long long)seed, why);
            good = false;
        }
    } else if (!good) {
        printf("    seed %llu: status %s, brute force %s: %s\n", (unsigned long long)seed,
               sw_status_name(status), q.found ? "fits" : "does not", sw_error_message());
    }
    CU_ASSERT(good);
    sw_plan_free(&plan);
    sw_cluster_free(&cl);
    return q.found;
}

static void equals_brute_force(void)
{
    int fits = 0, cases = 0;
    for (uint64_t seed = 1; seed <= 20000; seed++, cases++)
        fits += compare(seed, seed % 2 ? 3 : 2);
    for (uint64_t seed = 100001; seed <= 101500; seed++, cases++)
        fits += compare(seed, RANKS);
    printf("    %d cases, %d fit; of these %d stream for prompts, %d with GPU layers, %d have "
           "streamed layers, %d host layers beside, %d disk layers, %d on a GPU, %d streamed ones "
           "beside, %d by expert, %d with some kept, %d on a GPU, %d over the bus\n",
           cases, fits, seen.passing, seen.passing_with_gpu, seen.streamed, seen.together,
           seen.disk, seen.disk_on_gpu, seen.disk_and_streamed, seen.by_expert, seen.cached,
           seen.cached_on_gpu, seen.streamed_by_expert);
    CU_ASSERT(fits > cases / 4);
    CU_ASSERT(fits < cases);
    CU_ASSERT(seen.passing > fits / 100 && seen.passing_with_gpu > fits / 1000);
    CU_ASSERT(seen.streamed > fits / 100 && seen.disk > fits / 100);
    CU_ASSERT(seen.together > fits / 200);
    CU_ASSERT(seen.disk_on_gpu > fits / 50 && seen.disk_and_streamed > 0);
    CU_ASSERT(seen.by_expert > fits / 100 && seen.cached > fits / 500);
    CU_ASSERT(seen.cached_on_gpu > fits / 1000 && seen.streamed_by_expert > fits / 500);
}

static struct sw_layer_footprint two_layers[2] = {{.weight_bytes = 1 << 20, .read_bytes = 1 << 20},
                                                  {.weight_bytes = 1 << 20, .read_bytes = 1 << 20}};
static const struct sw_footprint two_layers_footprint = {
    .params = {.context = 64, .slots = 1, .max_batch_tokens = 64},
    .n_layers = 2,
    .layers = two_layers,
    .hop_bytes = 1024};

/* Two stages on two nodes: there by the link, and the ids back. */
static void slower_links_are_predicted(void)
{
    const struct sw_footprint fp = two_layers_footprint;
    const char *const text = "2x(host:8G)";
    struct sw_plan_options o;
    struct sw_cluster cl;
    struct sw_plan plan;
    sw_plan_options_init(&o);
    CU_ASSERT_EQUAL_FATAL(sw_cluster_parse(text, strlen(text), &cl), SW_OK);
    o.slices = (int[]){1, 1};
    o.n_slices = 2;
    CU_ASSERT_EQUAL_FATAL(sw_plan_make(&fp, &cl, &o, &plan), SW_OK);
    const double before = plan.predicted.s_per_token;
    cl.link_latency += 0.25;
    CU_ASSERT_EQUAL(sw_plan_predict(&fp, &cl, &o, &plan), SW_OK);
    CU_ASSERT_DOUBLE_EQUAL(plan.predicted.s_per_token, before + 0.5, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(plan.predicted.tokens_per_s, 1 / (before + 0.5), 1e-9);
    sw_plan_free(&plan);
    sw_cluster_free(&cl);
}

/* Of two ranks both are used while nobody notices, though one alone is faster. */
static void small_models_are_spread(void)
{
    static const struct {
        double latency;
        enum sw_objective objective;
        int stages;
    } cases[] = {{50e-6, SW_OBJECTIVE_LATENCY, 2},
                 {1.5e-3, SW_OBJECTIVE_LATENCY, 2},
                 {2.5e-3, SW_OBJECTIVE_LATENCY, 1},
                 {50e-6, SW_OBJECTIVE_THROUGHPUT, 2},
                 {2.5e-3, SW_OBJECTIVE_THROUGHPUT, 1}};
    const char *const text = "2x(host:8G)";
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sw_plan_options o;
        struct sw_cluster cl;
        struct sw_plan plan;
        sw_plan_options_init(&o);
        o.prompt_tokens = 1;
        o.objective = cases[i].objective;
        CU_ASSERT_EQUAL_FATAL(sw_cluster_parse(text, strlen(text), &cl), SW_OK);
        cl.link_latency = cases[i].latency;
        CU_ASSERT_EQUAL(sw_plan_spread(&two_layers_footprint, &cl, &o, &plan), SW_OK);
        CU_ASSERT_EQUAL(plan.n_stages, cases[i].stages);
        sw_plan_free(&plan);
        sw_cluster_free(&cl);
    }
}

SW_UNIT_TESTS({"equals brute force", equals_brute_force},
              {"slower links are predicted", slower_links_are_predicted},
              {"small models are spread", small_models_are_spread})
