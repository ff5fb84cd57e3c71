/* Owns what a class of tokenizers has that none of its files states. */
#include "base/json.h"
#include "text/tokenizer_impl.h"

#include <stdio.h>
#include <string.h>

#define SENTINELS 100 /* of T5's class, where tokenizer_config.json has no "extra_ids" */

/* Whether the files are T5's, by their class, or without one by the model's family. */
static bool text_class_is_t5(const struct sw_text_config *config)
{
    const char *class = json_string_value(json_object_get(config->tokenizer, "tokenizer_class"));
    const char *family = json_string_value(json_object_get(config->model, "model_type"));
    return class ? strncmp(class, "T5Tokenizer", 11) == 0 : family && strcmp(family, "t5") == 0;
}

/* The sentinels lie behind the pieces, the last one first. */
static enum sw_status add_sentinels(struct sw_tokenizer *tok, int64_t count)
{
    const size_t pieces = tok->vocab.count;
    for (int64_t i = 0; i < count; i++) {
        char text[32];
        const int n = snprintf(text, sizeof text, "<extra_id_%lld>", (long long)i);
        if (!sw_added_find(&tok->added, text, (size_t)n))
            SW_TRY(sw_added_put(&tok->added, &(struct sw_added_token){
                                                 .id = (int32_t)((int64_t)pieces + count - 1 - i),
                                                 .content = text,
                                                 .length = (size_t)n,
                                                 .special = true}));
    }
    return SW_OK;
}

enum sw_status sw_text_class_apply(const struct sw_text_config *config, struct sw_tokenizer *tok)
{
    int64_t count = SENTINELS;
    if (!config || !tok->sentencepiece || !text_class_is_t5(config))
        return SW_OK;
    tok->add_bos = false;
    tok->add_eos = true;
    tok->unigram.single = false; /* transformers makes a tokenizer.json of it */
    const json_t *stated = json_object_get(config->tokenizer, "extra_ids");
    if (stated && !sw_json_integer(stated, 0, SW_ADDED_MAX / 2, &count))
        return sw_fail(SW_EMODEL, "tokenizer_config.json: \"extra_ids\" is no number up to %d",
                       SW_ADDED_MAX / 2);
    return add_sentinels(tok, count);
}
