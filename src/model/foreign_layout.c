/* Owns the layouts of weight files that are known, but not read. */
#include "model/foreign_layout.h"

#include <string.h>

/* Whose layout a part of a name is from; the first part that any tensor has is reported. */
static const struct {
    const char *part, *layout;
} layouts[] = {
    {".lora_A.",
     "it is a LoRA adapter: merge it into its base model (merge_and_unload of peft) and "
     "give the folder that this saves"},
    {"base_model.model.",
     "it is a model inside peft's wrapper: call merge_and_unload and save what "
     "that returns"},
    {".experts.gate_up_proj", "the experts of a layer are fused into one tensor, as transformers 5 "
                              "has them in memory: save it with save_pretrained, which writes each "
                              "expert by itself"},
    {".qweight", "it is quantized (GPTQ or AWQ), but not as its config.json says"},
    {".weight_packed", "it is quantized (compressed-tensors), but not as its config.json says"},
    {".weight_scale", "it is quantized, but not as its config.json says"},
    {".SCB", "it is quantized (bitsandbytes), but not as its config.json says"},
    {".absmax", "it is quantized (bitsandbytes), but not as its config.json says"},
    {"tok_embeddings.weight",
     "it is in the layout of the model's makers: use the checkpoint in the "
     "hub's, or convert it with the script that transformers has for it"},
    {"language_model.",
     "it is a model of text and of something else, whose part for text has another name than is "
     "known"},
};

/* Bytes that the ends of two names have in common. */
static size_t common_end(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), same = 0;
    while (same < n && same < m && a[n - 1 - same] == b[m - 1 - same])
        same++;
    return same;
}

enum sw_status sw_layout_fail(const struct sw_tensors *tensors, const char *name, const char *what)
{
    const struct sw_tensor *near = NULL;
    const char *layout = NULL;
    size_t best = 0;
    if (tensors->count == 0)
        return sw_fail(SW_EMODEL, "%s is missing: the checkpoint holds no tensors", what);
    for (size_t i = 0; i < tensors->count; i++) {
        const size_t same = common_end(tensors->items[i].name, name);
        if (!near || same > best) {
            near = &tensors->items[i];
            best = same;
        }
    }
    for (size_t k = 0; k < sizeof layouts / sizeof layouts[0] && !layout; k++)
        for (size_t i = 0; i < tensors->count && !layout; i++)
            if (strstr(tensors->items[i].name, layouts[k].part))
                layout = layouts[k].layout;
    return sw_fail(SW_EMODEL,
                   "%s: %s is missing from the checkpoint's %zu tensors; the nearest "
                   "name is '%s'%s%s",
                   tensors->files[near->file].path, what, tensors->count, near->name,
                   layout ? "; " : "", layout ? layout : "");
}
