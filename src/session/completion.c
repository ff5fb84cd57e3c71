/* Owns the way from sampled ids to a finished text; see completion.h. */
#include "session/completion.h"

#include <stdlib.h>

enum sw_status sw_completion_begin(struct sw_completion *c,
                                   const struct sw_completion_options *options,
                                   const int32_t *prompt, size_t n_prompt)
{
    *c = (struct sw_completion){.options = *options, .n_prompt = n_prompt};
    c->options.stop = NULL; /* the caller's */
    SW_TRY(sw_stop_create(options->stop, options->n_stop, &c->stops));
    if (!options->tokenizer)
        return SW_OK;
    sw_detokenizer_begin(&c->detokenizer, options->tokenizer, !options->special);
    return options->apart ? SW_OK : sw_detokenizer_skip(&c->detokenizer, prompt, n_prompt);
}

void sw_completion_free(struct sw_completion *c)
{
    sw_stop_free(c->stops);
    sw_strbuf_free(&c->piece);
    sw_strbuf_free(&c->text);
    sw_ids_free(&c->ids);
    free(c->sampled);
    *c = (struct sw_completion){0};
}

static enum sw_status completion_keep_sampled(struct sw_completion *c,
                                              const struct sw_sampled *token)
{
    const size_t n = c->ids.count;
    if (n > c->sampled_capacity) {
        const size_t capacity = n < 32 ? 32 : 2 * n;
        struct sw_sampled *grown = realloc(c->sampled, capacity * sizeof *grown);
        if (!grown)
            return sw_fail(SW_ENOMEM, "no memory for the log-probabilities of %zu tokens", n);
        c->sampled = grown;
        c->sampled_capacity = capacity;
    }
    c->sampled[n - 1] = *token;
    return SW_OK;
}

/* Passes the newest characters through the stop strings into the text. */
static bool completion_add_piece(struct sw_completion *c)
{
    return sw_stop_push(c->stops, c->piece.text ? c->piece.text : "", c->piece.length, &c->text);
}

static enum sw_status completion_check(const struct sw_completion *c)
{
    return c->text.failed || c->piece.failed ? sw_fail(SW_ENOMEM, "no memory for the text") : SW_OK;
}

enum sw_status sw_completion_push(struct sw_completion *c, const struct sw_sampled *token,
                                  bool *stop)
{
    const struct sw_completion_options *o = &c->options;
    if (o->tokenizer && !o->ignore_end && sw_tokenizer_is_end(o->tokenizer, token->id)) {
        *stop = c->stopped = true;
        return SW_OK;
    }
    SW_TRY(sw_ids_push(&c->ids, token->id));
    if (o->logprobs)
        SW_TRY(completion_keep_sampled(c, token));
    if (!o->tokenizer)
        return SW_OK;
    c->piece.length = 0;
    SW_TRY(sw_detokenizer_push(&c->detokenizer, token->id, &c->piece));
    *stop = c->stopped = completion_add_piece(c);
    return completion_check(c);
}

enum sw_status sw_completion_finish(struct sw_completion *c)
{
    if (!c->options.tokenizer)
        return SW_OK;
    c->piece.length = 0;
    sw_detokenizer_finish(&c->detokenizer, &c->piece);
    completion_add_piece(c);
    sw_stop_finish(c->stops, &c->text);
    return completion_check(c);
}

const char *sw_completion_finish_reason(const struct sw_completion *c)
{
    return c->stopped ? "stop" : "length";
}
