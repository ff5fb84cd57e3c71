/* Owns the list of verbs. */
#include "cmd/options.h"

#include <string.h>

static const struct sw_verb *const verbs[] = {
    &sw_verb_run,      &sw_verb_chat,   &sw_verb_batch, &sw_verb_serve, &sw_verb_score,
    &sw_verb_compare,  &sw_verb_plan,   &sw_verb_bench, &sw_verb_probe, &sw_verb_inspect,
    &sw_verb_quantize, &sw_verb_tokens, &sw_verb_trace,
};

const struct sw_verb *sw_verb_row(int i)
{
    return i >= 0 && (size_t)i < sizeof verbs / sizeof verbs[0] ? verbs[i] : NULL;
}

const struct sw_verb *sw_verb_find(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}
