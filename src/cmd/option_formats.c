/* Owns which names of formats options take. */
#include "checkpoint/bnb_export.h"
#include "cmd/options.h"
#include "tensor/format.h"

#include <stdio.h>

bool sw_option_has_roles(const struct sw_option *option)
{
    return option->parse == sw_parse_weights || option->parse == sw_parse_file_weights;
}

static const char *plain_format(int i)
{
    for (int f = 0; f < SW_FORMAT_COUNT; f++)
        if (!sw_format_is_quantized((enum sw_format_id)f) && i-- == 0)
            return sw_format_of((enum sw_format_id)f)->name;
    return NULL;
}

const char *sw_plain_formats(const char *last, char *out, size_t cap)
{
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; plain_format(i) && used < cap; i++)
        used += (size_t)snprintf(out + used, cap - used, "%s%s",
                                 i == 0                ? ""
                                 : plain_format(i + 1) ? ", "
                                                       : last,
                                 plain_format(i));
    return out;
}

/* Of a file that is written: formats of GGUF files, then those of folders. */
static const char *file_format(int i)
{
    int n = 0;
    while (sw_weight_choice_name(SW_CHOICE_GGUF, n) && n < i)
        n++;
    const char *name = sw_weight_choice_name(SW_CHOICE_GGUF, n);
    return name ? name : sw_bnb_format_name(i - n);
}

const char *sw_option_format(const struct sw_option *option, int i)
{
    return option->parse == sw_parse_file_weights ? file_format(i)
           : option->parse == sw_parse_weights    ? sw_weight_choice_name(SW_CHOICE_KEPT, i)
           : option->parse == sw_parse_kv         ? plain_format(i)
                                                  : NULL;
}
