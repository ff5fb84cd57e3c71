/* Owns the way from a prompt in JSON to ids. */
#include "jobs/prompt_ids.h"

#include <ctype.h>
#include <string.h>

static enum sw_status prompt_ids_of_list(const json_t *list, int vocab, struct sw_ids *ids)
{
    size_t i;
    json_t *id;
    json_array_foreach((json_t *)(uintptr_t)list, i, id)
    {
        const json_int_t value = json_integer_value(id);
        if (!json_is_integer(id) || value < 0 || value >= vocab)
            return sw_fail(SW_EINPUT, "\"prompt\": item %zu is not a token id from 0 to %d", i,
                           vocab - 1);
        SW_TRY(sw_ids_push(ids, (int32_t)value));
    }
    return SW_OK;
}

/* Reads the ids from the list's text: there may be many millions. */
static enum sw_status prompt_ids_of_text(struct sw_json_range list, int vocab, struct sw_ids *ids)
{
    const char *at = list.bytes, *end = at + list.length - 1;
    for (size_t i = 0; *at != ']'; i++) {
        int64_t id = -1;
        for (at++; at < end && strchr(" \t\r\n", *at); at++)
            ;
        if (at < end && isdigit((unsigned char)*at))
            for (id = 0; at < end && isdigit((unsigned char)*at) && id < vocab; at++)
                id = 10 * id + (*at - '0');
        while (at < end && strchr(" \t\r\n", *at))
            at++;
        if (id < 0 || id >= vocab || (*at != ',' && *at != ']'))
            return sw_fail(SW_EINPUT, "\"prompt\": item %zu is not a token id from 0 to %d", i,
                           vocab - 1);
        SW_TRY(sw_ids_push(ids, (int32_t)id));
    }
    return SW_OK;
}

enum sw_status sw_prompt_ids(const json_t *prompt, struct sw_json_range list,
                             struct sw_tokenizer *tokenizer, int vocab, struct sw_ids *ids)
{
    if (json_is_array(prompt) && list.bytes)
        return prompt_ids_of_text(list, vocab, ids);
    if (json_is_array(prompt))
        return prompt_ids_of_list(prompt, vocab, ids);
    if (!tokenizer)
        return sw_fail(SW_EINPUT, "the model has no tokenizer, so prompts must be lists of ids");
    return sw_tokenizer_encode(tokenizer, json_string_value(prompt), json_string_length(prompt),
                               SW_ENCODE_ADD_SPECIAL | SW_ENCODE_PARSE_SPECIAL, ids);
}
