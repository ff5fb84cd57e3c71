/* Owns finding the models that a command line names. */
#include "base/log.h"
#include "checkpoint/model_name.h"
#include "cmd/options.h"

#include <stdlib.h>
#include <string.h>

/* A name that means nothing stays as it is: on several ranks its failure must be that of all. */
void sw_call_find_models(const struct sw_verb *verb, struct sw_call *call, bool quiet)
{
    for (int i = 0; i < verb->n_models && i < call->n_arguments; i++) {
        struct sw_strbuf notes = {0};
        call->models[i] = call->arguments[i];
        if (sw_model_name_find(call->arguments[i], &call->found[i], &notes) == SW_OK)
            call->models[i] = call->found[i];
        sw_error_clear();
        for (const char *line = notes.text && !quiet ? notes.text : ""; *line;
             line += strcspn(line, "\n") + 1)
            sw_log(SW_LOG_WARN, "%s: %.*s", call->arguments[i], (int)strcspn(line, "\n"), line);
        sw_strbuf_free(&notes);
    }
}

void sw_call_free_models(struct sw_call *call)
{
    for (int i = 0; i < SW_MODELS_MAX; i++)
        free(call->found[i]);
}
