/*
 * Stores by themselves, on tests/fake_gpu.h: what is fetched, when and whereto, that acquired
 * weights are the layer's, and that nothing is left when a store is closed at any moment or memory
 * is short.
 */
#include "engine/store.h"
#include "tiers.h"

#define LAYERS 3 /* of every model here */

/* Fetches since the last look, like "1>0 2>1": layer 1 to buffer 0, layer 2 to buffer 1. */
static struct {
    const struct sw_weights *weights[LAYERS];
    char text[256];
} fetched;
static struct sw_gpu_ops recording;

static enum sw_status record_fetch(struct sw_backend *b, int buffer, void *d_dst, const void *src,
                                   size_t bytes)
{
    const size_t n = strlen(fetched.text);
    for (int i = 0; i < LAYERS && fetched.weights[i]; i++)
        if (fetched.weights[i]->d_block == src && fetched.weights[i]->bytes == bytes)
            snprintf(fetched.text + n, sizeof fetched.text - n, "%s%d>%d", n ? " " : "", i, buffer);
    return fake_fetch(b, buffer, d_dst, src, bytes);
}

static void fetches_are(const char *expected)
{
    if (strcmp(fetched.text, expected) != 0)
        printf("    fetched '%s', not '%s'\n", fetched.text, expected);
    CU_ASSERT_STRING_EQUAL(fetched.text, expected);
    fetched.text[0] = 0;
}

/* A model with made-up weights, a CPU and a GPU. */
struct rig {
    struct sw_model *model;
    struct sw_backend *cpu, *gpu;
    int cpu_index, gpu_index;
    struct sw_pins pins;
    struct sw_loader loader;
    struct sw_streamed_options options;
};

static void rig_open(struct rig *r, const char *name)
{
    const struct sw_footprint_params params = {.weights = SW_FORMAT_F32,
                                               .unquantized = SW_FORMAT_F32,
                                               .kv = SW_F32,
                                               .context = 64,
                                               .slots = 1,
                                               .max_batch_tokens = 16};
    char dir[4096];
    path_of(name, dir, sizeof dir);
    *r = (struct rig){0};
    CU_ASSERT_EQUAL_FATAL(sw_model_open(dir, &r->model), SW_OK);
    CU_ASSERT_FATAL(r->model->dims.n_layers >= 2 && r->model->dims.n_layers <= LAYERS);
    const int64_t cols = sw_model_max_cols(r->model);
    const struct sw_cpu_options cpu = {.threads = 1, .max_rows = 16, .max_cols = cols};
    const struct sw_gpu_options gpu = {.max_rows = 16, .max_cols = cols, .memory = UINT64_MAX};
    CU_ASSERT_EQUAL_FATAL(sw_backend_cpu_open(&cpu, &r->cpu), SW_OK);
    r->cpu_index = fake_wrap(r->cpu, false, UINT64_MAX);
    CU_ASSERT_EQUAL_FATAL(fake_open(&gpu, 1, NULL, &r->gpu, &r->gpu_index), SW_OK);
    recording = *r->gpu->gpu;
    recording.fetch = record_fetch;
    r->gpu->gpu = &recording;
    r->pins.gpu = r->gpu;
    r->loader = (struct sw_loader){.model = r->model, .params = params};
    const struct sw_staging sizes = sw_staging_of(r->model, &params);
    r->options = (struct sw_streamed_options){.gpu = r->gpu,
                                              .cpu = r->cpu,
                                              .pins = &r->pins,
                                              .layers = {0, r->model->dims.n_layers},
                                              .n_experts = r->model->dims.n_experts,
                                              .n_buffers = SW_STREAM_BUFFERS,
                                              .layer_bytes = sizes.layer,
                                              .matrix_bytes = sizes.matrix};
    memset(&fetched, 0, sizeof fetched);
}

static void rig_close(struct rig *r)
{
    const struct fake_report *g = &fake_report_of[r->gpu_index], *c = &fake_report_of[r->cpu_index];
    r->gpu->ops->close(r->gpu);
    r->cpu->ops->close(r->cpu);
    sw_model_close(r->model);
    CU_ASSERT_EQUAL(g->left + c->left, 0);
    CU_ASSERT_EQUAL(g->faults + c->faults + g->pins_left, 0);
    if (g->faults + c->faults)
        printf("    %s%s\n", g->fault, c->fault);
}

static struct sw_store *resident(struct rig *r, struct sw_backend *b)
{
    struct sw_store *store = NULL;
    CU_ASSERT_EQUAL_FATAL(sw_store_resident_open(b, &r->options.layers, &store), SW_OK);
    for (int i = 0; i < r->model->dims.n_layers; i++)
        CU_ASSERT_EQUAL(store->ops->load(store, &r->loader, i), SW_OK);
    return store;
}

/* A streamed store with the layers of a resident one, whose blocks name them in fetched.text. */
static struct sw_store *sharing(struct rig *r, struct sw_store *host)
{
    struct sw_store *store = NULL;
    CU_ASSERT_EQUAL_FATAL(sw_store_streamed_open(&r->options, &store), SW_OK);
    for (int i = 0; i < r->model->dims.n_layers; i++) {
        CU_ASSERT_EQUAL(host->ops->acquire(host, i, &fetched.weights[i]), SW_OK);
        sw_store_streamed_share(store, i, fetched.weights[i]);
    }
    return store;
}

static void use(struct sw_store *store, int layer, const char *expected)
{
    const struct sw_weights *w;
    CU_ASSERT_EQUAL(store->ops->acquire(store, layer, &w), SW_OK);
    fetches_are("");
    CU_ASSERT_EQUAL(store->ops->release(store, layer), SW_OK);
    fetches_are(expected);
}

/* The next two layers are under way or there when a layer is used; after the last come the first
 * ones, for the next micro-batch, and what is there is not fetched again. */
static void layers_are_fetched_ahead(void)
{
    struct rig r;
    rig_open(&r, "gpt_neox");
    struct sw_store *host = resident(&r, r.cpu), *store = sharing(&r, host);
    CU_ASSERT_EQUAL(begin_range(store, 0, 3), SW_OK);
    fetches_are("0>0 1>1");
    use(store, 0, "2>0");
    use(store, 1, "0>1");
    use(store, 2, "1>0");
    CU_ASSERT_EQUAL(begin_range(store, 0, 3), SW_OK);
    fetches_are("");
    use(store, 0, "2>1");
    /* Only the last two, of which one is there: it stays, though it is needed second. */
    CU_ASSERT_EQUAL(begin_range(store, 1, 3), SW_OK);
    fetches_are("");
    use(store, 1, "");
    use(store, 2, "");
    CU_ASSERT_EQUAL(begin_range(store, 0, 3), SW_OK);
    fetches_are("0>1");
    /* The CPU computes the one between them. */
    CU_ASSERT_EQUAL(store->ops->begin(store, (const int[]){0, 2}, 2), SW_OK);
    fetches_are("2>0");
    use(store, 0, "");
    use(store, 2, "");
    store->ops->close(store);
    host->ops->close(host);
    rig_close(&r);
}

/* One layer alone needs one buffer. */
static void a_single_layer_is_fetched_once(void)
{
    struct rig r;
    rig_open(&r, "gpt_neox");
    struct sw_store *host = resident(&r, r.cpu), *store = sharing(&r, host);
    for (int round = 0; round < 3; round++) {
        CU_ASSERT_EQUAL(begin_range(store, 2, 3), SW_OK);
        fetches_are(round ? "" : "2>0");
        use(store, 2, "");
    }
    store->ops->close(store);
    host->ops->close(host);
    rig_close(&r);
}

static bool same_matrix(struct sw_store *store, const struct sw_matrix *m,
                        const struct sw_matrix *host)
{
    const struct sw_matrix *there = m;
    if (!host->d_data)
        return !m->d_data;
    return store->ops->matrix(store, &there) == SW_OK && there->rows == host->rows &&
           there->cols == host->cols &&
           memcmp(there->d_data, host->d_data,
                  sw_matrix_bytes(host->format, host->rows, host->cols)) == 0;
}

/* Every weight of every layer, experts too: in either store it is what was loaded. */
static void acquired_weights_are_the_layers(const char *name)
{
    struct rig r;
    rig_open(&r, name);
    const int n = r.model->dims.n_layers;
    struct sw_store *host = resident(&r, r.cpu), *gpu = resident(&r, r.gpu), *own = NULL;
    CU_ASSERT_EQUAL_FATAL(sw_store_streamed_open(&r.options, &own), SW_OK);
    for (int i = 0; i < n; i++)
        CU_ASSERT_EQUAL(own->ops->load(own, &r.loader, i), SW_OK);
    struct sw_store *stores[] = {gpu, own, sharing(&r, host)};
    int unpacked[3];
    for (int k = 0; k < 3; k++) {
        const int before = fake_of(r.gpu)->n_unpacked;
        CU_ASSERT_EQUAL(begin_range(stores[k], 0, n), SW_OK);
        for (int i = 0; i < n; i++) {
            const struct sw_weights *w, *expected = fetched.weights[i];
            bool same = stores[k]->ops->acquire(stores[k], i, &w) == SW_OK;
            for (int id = 0; id < SW_W_COUNT && same; id++)
                same = same_matrix(stores[k], &w->matrix[id], &expected->matrix[id]) &&
                       (!w->d_vector[id] == !expected->d_vector[id]) &&
                       (!w->d_vector[id] || *w->d_vector[id] == *expected->d_vector[id]);
            for (int e = 0; e < expected->n_experts && same; e++)
                same = same_matrix(stores[k], &w->expert_up[e], &expected->expert_up[e]) &&
                       same_matrix(stores[k], &w->expert_down[e], &expected->expert_down[e]);
            CU_ASSERT_TRUE(same);
            CU_ASSERT_EQUAL(stores[k]->ops->release(stores[k], i), SW_OK);
        }
        unpacked[k] = fake_of(r.gpu)->n_unpacked - before;
    }
    CU_ASSERT_EQUAL(host->ops->bytes(host), 0);
    CU_ASSERT_EQUAL(gpu->ops->bytes(gpu) + 2 * own->ops->bytes(own), fake_of(r.gpu)->used);
    CU_ASSERT_EQUAL(unpacked[0] + unpacked[1], 0); /* only what the CPU packed is */
    CU_ASSERT(unpacked[2] > 0);
    for (int k = 2; k >= 0; k--)
        stores[k]->ops->close(stores[k]);
    host->ops->close(host);
    rig_close(&r);
}

static void weights_are_the_layers(void)
{
    acquired_weights_are_the_layers("gpt_neox");
    acquired_weights_are_the_layers("mixtral");
}

/* At any moment: before the first micro-batch, with copies under way, with a layer in use. */
static void closing_in_the_middle(void)
{
    for (int stop = 0; stop < 7; stop++) {
        struct rig r;
        const struct sw_weights *w = NULL;
        rig_open(&r, "mixtral");
        struct sw_store *host = resident(&r, r.cpu), *store = sharing(&r, host);
        int step = 0;
        if (step++ < stop)
            CU_ASSERT_EQUAL(begin_range(store, 0, 2), SW_OK);
        for (int i = 0; i < 2; i++) {
            if (step++ < stop)
                CU_ASSERT_EQUAL(store->ops->acquire(store, i, &w), SW_OK);
            if (step++ < stop) {
                const struct sw_matrix *m = &w->matrix[SW_W_QKV];
                CU_ASSERT_EQUAL(store->ops->matrix(store, &m), SW_OK);
            }
            if (step++ < stop)
                CU_ASSERT_EQUAL(store->ops->release(store, i), SW_OK);
        }
        store->ops->close(store);
        host->ops->close(host);
        CU_ASSERT_EQUAL(fake_of(r.gpu)->n_fetches, 0); /* none is under way to freed memory */
        rig_close(&r);
    }
}

/* Each of the GPU's allocations fails in turn, then that of the second layer in host memory. */
static void memory_is_short(void)
{
    bool whole = false;
    for (int at = 1; !whole && at < 10; at++) {
        struct rig r;
        struct sw_store *store = NULL;
        rig_open(&r, "mixtral");
        fake_of(r.gpu)->fail_at = at;
        whole = sw_store_streamed_open(&r.options, &store) == SW_OK;
        CU_ASSERT_EQUAL(whole, store != NULL);
        CU_ASSERT(whole || at <= SW_STREAM_BUFFERS + 1);
        fake_of(r.cpu)->fail_at = 2;
        if (whole) {
            CU_ASSERT_EQUAL(store->ops->load(store, &r.loader, 0), SW_OK);
            CU_ASSERT_EQUAL(store->ops->load(store, &r.loader, 1), SW_ENOMEM);
            store->ops->close(store);
        }
        rig_close(&r);
    }
    CU_ASSERT_TRUE(whole);
}

SW_UNIT_TESTS({"layers are fetched ahead", layers_are_fetched_ahead},
              {"a single layer is fetched once", a_single_layer_is_fetched_once},
              {"weights are the layers'", weights_are_the_layers},
              {"closing in the middle", closing_in_the_middle},
              {"memory is short", memory_is_short})
