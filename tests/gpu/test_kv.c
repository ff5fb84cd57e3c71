/* Keys and values in the cache: bit for bit as the CPU backend has them. */
#include "gpu_help.h"

static const enum sw_dtype kv_formats[] = {SW_F32, SW_F16, SW_BF16};

struct world {
    enum sw_dtype format;
    int slots, heads, head_dim;
    int64_t context;
    size_t bytes;
    char *want; /* the CPU backend's */
    void *d;
    struct sw_backend *cpu;
};

static struct world make(enum sw_dtype format, int heads, int head_dim, int64_t context)
{
    struct world w = {format, 3, heads, head_dim, context, 0, NULL, NULL, NULL};
    w.bytes = sw_kv_bytes(format, w.slots, heads, head_dim, context);
    w.want = malloc(w.bytes);
    memset(w.want, 0xff, w.bytes);
    w.d = gpu_alloc(w.bytes);
    w.cpu = open_cpu(1, SW_ISA_PORTABLE);
    return w;
}

static struct sw_gpu_kv gpu_kv(const struct world *w)
{
    return (struct sw_gpu_kv){w->format, w->slots, w->heads, w->head_dim, w->context, w->d, 0};
}

static struct sw_kv cpu_kv(const struct world *w)
{
    return (struct sw_kv){w->format, w->slots, w->heads, w->head_dim, w->context, w->want, 0};
}

static void same(struct world *w)
{
    char *got = malloc(w->bytes);
    gpu_get(got, w->d, w->bytes);
    CU_ASSERT_EQUAL(memcmp(got, w->want, w->bytes), 0);
    free(got);
}

static void drop(struct world *w)
{
    w->cpu->ops->close(w->cpu);
    free(w->want);
    CU_ASSERT_TRUE(gpu_free_all());
}

/* Spans in both places. */
static void store(struct world *w, const struct sw_span *spans, int n_spans, int64_t n_rows)
{
    const int64_t head = w->head_dim + 1, ld = head * w->heads + 3;
    struct gpu_rows k = gpu_rows_of(n_rows, ld, ld, 1), v = gpu_rows_of(n_rows, ld, ld, 2);
    struct sw_gpu_span g[4];
    for (int i = 0; i < n_spans; i++)
        g[i] = (struct sw_gpu_span){spans[i].slot, (int32_t)spans[i].n, spans[i].position,
                                    spans[i].row, 0};
    const struct sw_gpu_batch batch = {gpu_copy(g, sizeof g), g, n_spans};
    const struct sw_gpu_kv kv = gpu_kv(w);
    const struct sw_kv ckv = cpu_kv(w);
    gpu_store(&kv, &batch, k.d, v.d, ld, head);
    store_heads(w->cpu, &ckv, spans, n_spans, k.host, v.host, ld, head);
    free(k.host), free(v.host);
}

static void stores(void)
{
    static const int shapes[][2] = {{1, 1}, {3, 5}, {2, 64}, {5, 80}};
    for (int f = 0; f < 3; f++)
        for (int s = 0; s < 4; s++) {
            struct world w = make(kv_formats[f], shapes[s][0], shapes[s][1], 150);
            /* over a block's end, an even and an odd last key, one row, rows not in order */
            const struct sw_span first[] = {{0, 0, 4, 67}, {2, 63, 0, 2}, {1, 128, 2, 1}};
            store(&w, first, 3, 71);
            same(&w);
            const struct sw_span then[] = {{1, 129, 0, 2}, {0, 67, 2, 1}};
            store(&w, then, 2, 3);
            same(&w);
            drop(&w);
        }
}

static void copies(void)
{
    static const int64_t lengths[] = {1, 64, 65, 150};
    for (int f = 0; f < 3; f++)
        for (int s = 0; s < 4; s++) {
            struct world w = make(kv_formats[f], 3, 20, 150);
            const struct sw_span all[] = {{2, 0, 0, 150}};
            store(&w, all, 1, 150);
            const struct sw_gpu_kv kv = gpu_kv(&w);
            const struct sw_kv ckv = cpu_kv(&w);
            gpu_ok(sw_gpu_kv_copy(&kv, 2, 0, lengths[s], 0));
            w.cpu->ops->kv_copy(w.cpu, &ckv, 2, 0, lengths[s]);
            same(&w);
            drop(&w);
        }
}

SW_UNIT_TESTS({"stores", stores}, {"copies", copies})
