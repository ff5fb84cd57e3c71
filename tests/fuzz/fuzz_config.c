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
    struct sw_weight_spec *specs;
    size_t count;
    /* thousands of layers or experts are possible, but not worth a fuzzer's time */
    if (model->dims.n_layers <= 64 && model->dims.n_experts <= 64) {
        for (int layer = SW_GLOBAL; layer < model->dims.n_layers; layer++) {
            if (sw_model_weights(model, layer, &specs, &count) != SW_OK)
                abort();
            for (size_t i = 0; i < count; i++)
                if (specs[i].rows < 1 || specs[i].cols < 1 || specs[i].n_sources < 1 ||
                    !specs[i].sources[0].name[0])
                    abort();
            free(specs);
        }
        struct sw_footprint footprint;
        const struct sw_footprint_params params = {
            .weights = SW_BF16, .kv = SW_BF16, .context = 16, .slots = 1, .max_batch_tokens = 16};
        if (sw_footprint_of(model, &params, &footprint) == SW_OK)
            sw_footprint_free(&footprint);
    }
    sw_model_close(model);
    return 0;
}
