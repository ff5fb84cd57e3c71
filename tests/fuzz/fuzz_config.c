/* config.json: what is accepted has sizes that can be counted, and weights that can be listed. */
#include "model/footprint.h"
#include "model/model.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sw_model *model;
    if (sw_model_parse((const char *)data, size, "config.json", &model) != SW_OK)
        return 0;
    const struct sw_weight_spec *specs;
    char name[SW_TENSOR_NAME_MAX];
    /* thousands of layers or experts are possible, but not worth a fuzzer's time */
    if (model->dims.n_layers <= 64 && model->dims.n_experts <= 64) {
        for (int layer = SW_GLOBAL; layer < model->dims.n_layers; layer++) {
            const size_t count = sw_model_weights(model, layer, &specs);
            for (size_t i = 0; i < count; i++) {
                if (specs[i].rows < 1 || specs[i].cols < 1 || specs[i].n_sources < 1)
                    abort();
                sw_weight_tensor_name(model, &specs[i], 0, name);
                if (!name[0])
                    abort();
            }
        }
        struct sw_footprint footprint;
        const struct sw_footprint_params params = {.weights = SW_FORMAT_BF16,
                                                   .kv = SW_BF16,
                                                   .context = 16,
                                                   .slots = 1,
                                                   .max_batch_tokens = 16};
        if (sw_footprint_of(model, &params, &footprint) == SW_OK)
            sw_footprint_free(&footprint);
    }
    sw_model_close(model);
    return 0;
}
