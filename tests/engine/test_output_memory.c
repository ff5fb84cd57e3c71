/* What the last stage allocates for logits, samplers and ids is what the plan counts for it. */
#include "engine/worker_impl.h"
#include "model/footprint.h"
#include "unit.h"

#include <malloc.h>

static size_t allocated(void)
{
    const struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* Bytes of a last stage that samples with the threads of a pool of `threads`. */
static size_t output_bytes(struct sw_model *model, const struct sw_footprint_params *p, int threads)
{
    struct sw_worker e = {.options = {.model = model, .params = *p}};
    CU_ASSERT_EQUAL_FATAL(sw_pool_create(threads, NULL, 0, &e.options.pool), SW_OK);
    const size_t before = allocated();
    CU_ASSERT_EQUAL_FATAL(sw_last_stage_open(&e), SW_OK);
    const size_t took = allocated() - before;
    sw_last_stage_close(&e);
    sw_pool_free(e.options.pool);
    return took;
}

static void samplers_and_ids_are_counted(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    printf(" skipped: a sanitizer has an allocator of its own ");
    return;
#endif
    static const struct {
        int vocab, slots, context;
    } cases[] = {{151936, 1, 64}, {512, 64, 32768}, {50257, 8, 4096}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sw_model *model;
        struct sw_footprint fp;
        const struct sw_footprint_params params = {.weights = SW_FORMAT_BF16,
                                                   .unquantized = SW_FORMAT_BF16,
                                                   .kv = SW_BF16,
                                                   .context = cases[i].context,
                                                   .slots = cases[i].slots,
                                                   .max_batch_tokens = 512};
        char config[512];
        snprintf(config, sizeof config,
                 "{\"model_type\": \"llama\", \"hidden_size\": 64, \"intermediate_size\": 128, "
                 "\"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"vocab_size\": %d, "
                 "\"max_position_embeddings\": 32768, \"rms_norm_eps\": 1e-5}",
                 cases[i].vocab);
        CU_ASSERT_EQUAL_FATAL(sw_model_parse(config, strlen(config), "made up", &model), SW_OK);
        CU_ASSERT_EQUAL_FATAL(sw_footprint_of(model, &params, &fp), SW_OK);
        const double counted = (double)(fp.logits_bytes + fp.sampler_bytes);
        const double most = (double)output_bytes(model, &params, 16);
        CU_ASSERT(most <= counted + (256 << 10)); /* malloc's own, and results of rows */
        CU_ASSERT(most >= 0.98 * counted);
        CU_ASSERT((double)output_bytes(model, &params, 2) < most + 1);
        sw_footprint_free(&fp);
        sw_model_close(model);
    }
}

SW_UNIT_TESTS({"samplers and ids are counted", samplers_and_ids_are_counted})
