/* The planner runs on login nodes, and many times for advice, so it must be fast. */
#include "plan/cost.h"
#include "unit.h"

#include <time.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLACK 20
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SLACK 20
#endif
#endif
#ifndef SLACK
#define SLACK 3 /* limits are of a core that no other thread uses */
#endif

#define LAYERS 126
#define NODES 32
#define DEVICES 4

/* About llama-3.1-405b in bf16. */
static void big_model(struct sw_footprint *fp, struct sw_layer_footprint *layers, bool uniform)
{
    *fp = (struct sw_footprint){.n_layers = LAYERS, .layers = layers};
    fp->params = (struct sw_footprint_params){.weights = SW_FORMAT_BF16,
                                              .unquantized = SW_FORMAT_F16,
                                              .kv = SW_BF16,
                                              .context = 8192,
                                              .slots = 1,
                                              .max_batch_tokens = 512};
    for (int i = 0; i < LAYERS; i++) {
        layers[i] = (struct sw_layer_footprint){.weight_bytes = 6375342080,
                                                .read_bytes = 6375342080,
                                                .kv_bytes = 33554432,
                                                .kv_row_bytes = 4096,
                                                .token_flops = 6.375e9};
        if (!uniform)
            layers[i].weight_bytes += (uint64_t)(i * 7919 % 13) << 20;
    }
    fp->embed_bytes = fp->head_bytes = 4202692608;
    fp->embed_read_bytes = 32768;
    fp->head_flops = 4.2e9;
    fp->hop_bytes = 65536;
    fp->work_bytes = fp->gpu_work_bytes = 512ull << 20;
    fp->logits_bytes = 128256 * 4;
    fp->load_bytes = 64ull << 20;
}

/* `spread`: no two GPUs have the same free memory, as on real machines; `measured`: nor the same
 * speeds, nor two nodes. */
static void big_cluster(struct sw_cluster *cl, uint64_t gpu, uint64_t host, bool disk, bool spread,
                        bool measured, int nodes, int devices)
{
    sw_cluster_init(cl);
    for (int n = 0; n < nodes; n++) {
        struct sw_node *node = sw_cluster_add_node(cl);
        node->host_free = node->host_total = (host << 30) - (spread ? (uint64_t)n << 22 : 0);
        node->disk_tier = disk;
        if (measured) {
            node->rank_bandwidth *= 1 + 2e-3 * (11 * n % NODES);
            node->cpu_flops *= 1 + 2e-3 * (7 * n % NODES);
        }
        for (int d = 0; d < devices; d++) {
            struct sw_device *device = sw_node_add_device(node);
            device->free = device->total =
                (gpu << 30) - (spread ? (uint64_t)(n * devices + d) << 20 : 0);
            if (measured) {
                device->bandwidth *= 1 + 1e-3 * (n * devices + d);
                device->flops *= 1 + 1e-3 * (37 * (n * devices + d) % 128);
            }
        }
        node->n_ranks = devices;
    }
}

static double milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static const struct scene {
    const char *name;
    uint64_t gpu, host; /* GiB */
    bool disk, spread, mixed, measured;
    enum sw_objective objective;
    bool fits;
    double limit;       /* ms */
    int nodes, devices; /* 0: NODES of DEVICES */
} scenes[] = {
    {"24G GPUs", 24, 64, false, false, false, false, SW_OBJECTIVE_LATENCY, true, 50, 0, 0},
    {"24G GPUs, throughput", 24, 64, false, false, false, false, SW_OBJECTIVE_THROUGHPUT, true, 50,
     0, 0},
    {"80G GPUs", 80, 512, false, false, false, false, SW_OBJECTIVE_LATENCY, true, 50, 0, 0},
    {"80G GPUs, throughput", 80, 512, false, false, false, false, SW_OBJECTIVE_THROUGHPUT, true, 50,
     0, 0},
    {"24G GPUs, all different", 24, 64, false, true, false, false, SW_OBJECTIVE_LATENCY, true, 50,
     0, 0},
    {"80G GPUs, all different, throughput", 80, 256, false, true, false, false,
     SW_OBJECTIVE_THROUGHPUT, true, 50, 0, 0},
    {"8G GPUs, the rest in RAM", 8, 64, false, false, false, false, SW_OBJECTIVE_LATENCY, true, 50,
     0, 0},
    {"8G GPUs, the rest in RAM, throughput", 8, 64, false, false, false, false,
     SW_OBJECTIVE_THROUGHPUT, true, 50, 0, 0},
    {"8G GPUs, different, RAM", 8, 64, false, true, false, false, SW_OBJECTIVE_LATENCY, true, 50, 0,
     0},
    {"8G GPUs, little RAM, disk", 8, 24, true, false, false, false, SW_OBJECTIVE_LATENCY, true, 50,
     0, 0},
    {"8G GPUs, little RAM, disk, throughput", 8, 24, true, false, false, false,
     SW_OBJECTIVE_THROUGHPUT, true, 50, 0, 0},
    {"4G GPUs, little RAM, disk, different", 4, 20, true, true, false, false, SW_OBJECTIVE_LATENCY,
     true, 3000, 0, 0},
    {"4G GPUs, disk, all measured", 4, 20, true, true, false, true, SW_OBJECTIVE_LATENCY, true,
     3000, 0, 0},
    {"4G GPUs, disk, all measured, throughput", 4, 20, true, true, false, true,
     SW_OBJECTIVE_THROUGHPUT, true, 3000, 0, 0},
    {"8G GPUs, disk, all measured", 8, 24, true, true, false, true, SW_OBJECTIVE_LATENCY, true, 200,
     0, 0},
    {"24G GPUs, layers differ", 24, 64, false, false, true, false, SW_OBJECTIVE_LATENCY, true, 50,
     0, 0},
    {"8G GPUs, layers differ, RAM", 8, 64, false, false, true, false, SW_OBJECTIVE_LATENCY, true,
     50, 0, 0},
    {"4G GPUs, disk, all measured, layers differ", 4, 20, true, true, true, true,
     SW_OBJECTIVE_LATENCY, true, 3000, 0, 0},
    {"4G GPUs, disk, layers differ, throughput", 4, 20, true, true, true, true,
     SW_OBJECTIVE_THROUGHPUT, true, 3000, 0, 0},
    {"8 GPUs of 24G share 128G, disk", 24, 128, true, false, false, false, SW_OBJECTIVE_LATENCY,
     true, 500, 1, 8},
    {"8 GPUs of 26G share 225G, disk", 26, 225, true, false, false, false, SW_OBJECTIVE_LATENCY,
     true, 2000, 1, 8},
    {"8 GPUs share 225G, disk, throughput", 26, 225, true, false, false, false,
     SW_OBJECTIVE_THROUGHPUT, true, 500, 1, 8},
    {"8 GPUs share 225G, disk, all measured", 26, 225, true, true, false, true,
     SW_OBJECTIVE_LATENCY, true, 3000, 1, 8},
    {"too small", 2, 8, false, false, false, false, SW_OBJECTIVE_LATENCY, false, 2000, 0, 0},
};

static void fast(void)
{
    static struct sw_layer_footprint layers[LAYERS];
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++) {
        const struct scene *scene = &scenes[i];
        struct sw_footprint fp;
        struct sw_cluster cl;
        struct sw_plan plan;
        struct sw_plan_options o;
        char why[256];
        double best = 1e9;
        big_model(&fp, layers, !scene->mixed);
        big_cluster(&cl, scene->gpu, scene->host, scene->disk, scene->spread, scene->measured,
                    scene->nodes ? scene->nodes : NODES, scene->devices ? scene->devices : DEVICES);
        sw_plan_options_init(&o);
        o.objective = scene->objective;
        for (int round = 0; round < 3; round++) {
            const double start = milliseconds();
            const enum sw_status status = sw_plan_make(&fp, &cl, &o, &plan);
            const double took = milliseconds() - start;
            best = took < best ? took : best;
            CU_ASSERT((status == SW_OK) == scene->fits);
            CU_ASSERT(sw_plan_check(&plan, &fp, &cl, &o, why, sizeof why));
            if (why[0])
                printf("    %s\n", why);
            if (round == 2 || !scene->fits) {
                printf("    %-40s %7.2f ms, %3d stages, %.4g s/token\n", scene->name, best,
                       plan.n_stages, plan.predicted.s_per_token);
                round = 2;
            }
            sw_plan_free(&plan);
        }
        CU_ASSERT(best < scene->limit * SLACK);
        sw_cluster_free(&cl);
    }
}

SW_UNIT_TESTS({"126 layers over 128 devices", fast})
