/* Attention in the prediction: a prompt's grows with its square, a step's with the position. */
#include "plan/plan.h"
#include "unit.h"

#include <math.h>

#define LAYERS 3
#define WEIGHTS 120e6 /* bytes, and flops a token, of a layer */
#define KV_ROW 2048.0
#define ATTEND (4.0 * 32 * 64)

static struct sw_layer_footprint layers[LAYERS];

/* About llama-3.2-1b in 16 bits; the last layer sees `window` positions (0: all). */
static struct sw_footprint small_llama(int window)
{
    for (int i = 0; i < LAYERS; i++)
        layers[i] = (struct sw_layer_footprint){.weight_bytes = (uint64_t)WEIGHTS,
                                                .read_bytes = (uint64_t)WEIGHTS,
                                                .kv_bytes = 64 << 20,
                                                .kv_row_bytes = (uint64_t)KV_ROW,
                                                .token_flops = WEIGHTS,
                                                .attend_flops = ATTEND,
                                                .window = i == LAYERS - 1 ? window : 0};
    return (struct sw_footprint){.params = {SW_FORMAT_BF16, SW_FORMAT_BF16, SW_BF16,
                                            .context = 40000, .slots = 1, .max_batch_tokens = 512},
                                 .n_layers = LAYERS,
                                 .layers = layers};
}

static struct sw_prediction predict(const char *text, const struct sw_footprint *fp, int prompt,
                                    int new_tokens)
{
    struct sw_cluster cluster;
    struct sw_plan_options options;
    struct sw_plan plan;
    sw_plan_options_init(&options);
    options.prompt_tokens = prompt;
    options.new_tokens = new_tokens;
    CU_ASSERT_EQUAL_FATAL(sw_cluster_parse(text, strlen(text), &cluster), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_plan_make(fp, &cluster, &options, &plan), SW_OK);
    const struct sw_prediction predicted = plan.predicted;
    sw_plan_free(&plan);
    sw_cluster_free(&cluster);
    return predicted;
}

/* Token by token, chunk by chunk. */
static double prompt_seconds(int prompt, int window, double flops, double attend, double bandwidth)
{
    double seconds = 0;
    for (int layer = 0; layer < LAYERS; layer++)
        for (int first = 0; first < prompt; first += 512) {
            double pairs = 0;
            for (int i = first + 1; i <= first + 512; i++)
                pairs += layer == LAYERS - 1 && window && window < i ? window : i;
            seconds += fmax(WEIGHTS / bandwidth, 512 * WEIGHTS / flops) + pairs * ATTEND / attend;
        }
    return seconds;
}

static void prompts_grow_with_their_square(void)
{
    static const struct {
        const char *text;
        double flops, attend, bandwidth;
    } machines[] = {
        {"(host:64G@40GB/s@100GF@50GF)", 100e9, 50e9, 40e9},
        {"(host:64G@40GB/s@100GF@50GF@7GF)", 100e9, 50e9, 40e9}, /* the third is for decoding */
        {"(host:64G@40GB/s@100GF)", 100e9, SW_HOST_ATTEND_SHARE * 100e9, 40e9},
        {"(gpu:24G@900GB/s@20TF@8TF host:64G)", 20e12, 8e12, 900e9},
        {"(gpu:24G@900GB/s@20TF host:64G)", 20e12, SW_GPU_ATTEND_SHARE * 20e12, 900e9},
    };
    for (size_t m = 0; m < sizeof machines / sizeof machines[0]; m++)
        for (int window = 0; window <= 4096; window += 4096)
            for (int prompt = 512; prompt <= 32768; prompt *= 4) {
                const struct sw_footprint fp = small_llama(window);
                const struct sw_prediction p = predict(machines[m].text, &fp, prompt, 16);
                const double want = prompt_seconds(prompt, window, machines[m].flops,
                                                   machines[m].attend, machines[m].bandwidth);
                CU_ASSERT_DOUBLE_EQUAL(prompt / p.prompt_tokens_per_s / want, 1, 1e-6);
            }
}

/* A full pipeline's prompts share chunks, but each sees only itself. */
static void shared_chunks_see_their_own_prompts(void)
{
    struct sw_footprint fp = small_llama(0);
    struct sw_cluster cluster;
    struct sw_plan_options options;
    struct sw_plan plan;
    static const char text[] = "(host:64G@40GB/s@100GF@50GF)";
    fp.params.slots = 8;
    sw_plan_options_init(&options);
    options.objective = SW_OBJECTIVE_THROUGHPUT;
    options.prompt_tokens = 64;
    CU_ASSERT_EQUAL_FATAL(sw_cluster_parse(text, strlen(text), &cluster), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_plan_make(&fp, &cluster, &options, &plan), SW_OK);
    const double pairs = 8 * 64 * 65 / 2.0;
    CU_ASSERT_EQUAL(plan.prompt_rows, 512);
    CU_ASSERT_DOUBLE_EQUAL(plan.stages[0].prompt_s,
                           LAYERS * (512 * WEIGHTS / 100e9 + pairs * ATTEND / 50e9), 1e-9);
    sw_plan_free(&plan);
    sw_cluster_free(&cluster);
}

/* A decoded token sees its prompt and half of what is new: their keys and values are read, and, by
 * many heads for each of them, computed with. */
static double step_seconds(double position, int window, double bandwidth, double attend)
{
    double seconds = 0;
    for (int layer = 0; layer < LAYERS; layer++) {
        const double sees = layer == LAYERS - 1 && window ? fmin(window, position) : position;
        seconds += WEIGHTS / bandwidth + fmax(sees * KV_ROW / bandwidth, sees * ATTEND / attend);
    }
    return seconds;
}

static void steps_grow_with_the_position(void)
{
    static const struct {
        const char *text;
        double bandwidth, attend;
    } machines[] = {{"(host:64G@40GB/s@100GF@10GF)", 40e9, 10e9},       /* computing takes longer */
                    {"(host:64G@40GB/s@900GF@900GF)", 40e9, 900e9},     /* reading does */
                    {"(host:64G@40GB/s@900GF@900GF@12GF)", 40e9, 12e9}, /* measured for decoding */
                    {"(gpu:24G@900GB/s@20TF@1TF host:64G)", 900e9, 1e12}, /* the same on a GPU */
                    {"(gpu:24G@900GB/s@90TF@90TF host:64G)", 900e9, 90e12}};
    for (size_t m = 0; m < sizeof machines / sizeof machines[0]; m++)
        for (int prompt = 512; prompt <= 32768; prompt *= 8)
            for (int window = 0; window <= 4096; window += 4096) {
                const struct sw_footprint fp = small_llama(window);
                const struct sw_prediction p = predict(machines[m].text, &fp, prompt, 128);
                const double want =
                    step_seconds(prompt + 64, window, machines[m].bandwidth, machines[m].attend);
                CU_ASSERT_DOUBLE_EQUAL(p.s_per_token / want, 1, 1e-6);
            }
}

SW_UNIT_TESTS({"prompts grow with their square", prompts_grow_with_their_square},
              {"shared chunks see their own prompts", shared_chunks_see_their_own_prompts},
              {"steps grow with the position", steps_grow_with_the_position})
