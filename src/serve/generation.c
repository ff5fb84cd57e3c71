/* Owns requests for text while they run: their choices, and how they end. */
#include "serve/generation.h"

#include "base/hash.h"
#include "grammar/guide.h"
#include "sample/sampler.h"
#include "serve/api_error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sw_generation_free(struct sw_generation *g)
{
    if (!g)
        return;
    for (int i = 0; g->prompts && i < g->n_prompts; i++) {
        sw_ids_free(&g->prompts[i].ids);
        sw_strbuf_free(&g->prompts[i].text);
    }
    for (int i = 0; g->choices && i < g->n_choices; i++) {
        sw_completion_free(&g->choices[i].completion);
        sw_answer_logprobs_free(&g->choices[i].logprobs);
    }
    sw_strbuf_free(&g->grammar);
    free(g->prompts);
    free(g->choices);
    json_decref(g->root);
    if (g->x)
        sw_exchange_release(g->x);
    free(g);
}

static void generation_set_error(struct sw_generation *g, int error, const char *message)
{
    if (g->error)
        return;
    g->error = error;
    snprintf(g->message, sizeof g->message, "%s", message);
}

void sw_generation_answer(struct sw_generation *g)
{
    if (g->request.stream && sw_exchange_is_begun(g->x))
        sw_reply_end(g);
    else
        sw_reply_whole(g);
}

static const struct sw_prompt *choice_prompt(const struct sw_choice *c)
{
    return &c->g->prompts[c->index / c->g->request.n];
}

static enum sw_status choice_take_score(void *owner, int index, const struct sw_sampled *score,
                                        bool greedy)
{
    struct sw_choice *c = owner;
    (void)index;
    (void)greedy;
    sw_answer_logprobs_push(&c->logprobs, score, false);
    return SW_OK;
}

static enum sw_status choice_take_token(void *owner, const struct sw_sampled *token, bool *stop)
{
    struct sw_choice *c = owner;
    const struct sw_line_request *r = &c->g->request;
    const size_t before = c->completion.ids.count;
    SW_TRY(sw_completion_push(&c->completion, token, stop));
    /* After an echo, what ends the text is told, too: who asks for one token, as
     * lm-evaluation-harness does, takes the last one for it, and all before for the prompt's. */
    if (r->sampling.logprobs >= 0 && (c->completion.ids.count > before || r->echo))
        sw_answer_logprobs_push(&c->logprobs, token, false);
    if (r->stream && c->completion.text.length > c->sent)
        sw_reply_event(c, false);
    return SW_OK;
}

static enum sw_status choice_done(void *owner, enum sw_finish finish)
{
    struct sw_choice *c = owner;
    struct sw_generation *g = c->g;
    if (finish == SW_FINISH_UNDEFINED) {
        (void)sw_logits_undefined();
        generation_set_error(g, 500, sw_error_message());
        sw_error_clear();
    } else if (finish == SW_FINISH_STUCK) {
        (void)sw_guide_stuck();
        generation_set_error(g, 400, sw_error_message());
        sw_error_clear();
    } else if (finish != SW_FINISH_CANCELLED && !g->error) {
        SW_TRY(sw_completion_finish(&c->completion));
        if (g->request.stream)
            sw_reply_event(c, true);
    }
    if (--g->n_left > 0)
        return SW_OK;
    sw_server_ended(g);
    return SW_OK;
}

/* The prompt's first token has nothing before it; the others come with their scores. */
static void choice_begin_echo(struct sw_choice *c, struct sw_request *request)
{
    const struct sw_ids *ids = &choice_prompt(c)->ids;
    if (!c->g->request.echo || c->g->request.sampling.logprobs < 0 || ids->count == 0)
        return;
    const struct sw_sampled first = {.id = ids->items[0]};
    sw_answer_logprobs_push(&c->logprobs, &first, true);
    request->score_from = 1;
    request->scored = choice_take_score;
}

/* The same seed draws the same choices; the first is what the seed gives elsewhere. */
static uint64_t choice_seed(const struct sw_choice *c)
{
    const uint64_t seed = c->g->request.sampling.seed, key[2] = {seed, 0x63686f696365};
    const int number = c->index % c->g->request.n;
    return number == 0 ? seed : sw_hash_of(key, &number, sizeof number).low;
}

static enum sw_status choice_submit(struct sw_choice *c, struct sw_scheduler *scheduler)
{
    const struct sw_line_request *r = &c->g->request;
    const struct sw_ids *prompt = &choice_prompt(c)->ids;
    struct sw_bias bias[SW_BIAS_MAX];
    struct sw_request request = {.max_new = r->max_tokens,
                                 .sampling = r->sampling,
                                 .token = choice_take_token,
                                 .done = choice_done,
                                 .owner = c};
    request.sampling.seed = choice_seed(c);
    request.steering.bias = bias;
    request.steering.n_bias = sw_line_request_biases(r, bias);
    request.steering.grammar = c->g->grammar.text;
    request.steering.n_grammar = c->g->grammar.length;
    sw_request_prompt(&request, sw_scheduler_start(scheduler), prompt->items, (int)prompt->count);
    const struct sw_completion_options options = {.tokenizer = c->g->rules->tokenizer,
                                                  .apart = request.n_source > 0,
                                                  .ignore_end = r->ignore_end,
                                                  .special = r->special,
                                                  .stop = r->stop,
                                                  .n_stop = (size_t)r->n_stop};
    SW_TRY(sw_completion_begin(&c->completion, &options, prompt->items, prompt->count));
    c->logprobs.tokenizer = c->g->rules->tokenizer;
    c->logprobs.exact = true;
    c->logprobs.chat = r->form == SW_FORM_CHAT;
    choice_begin_echo(c, &request);
    return sw_scheduler_submit(scheduler, &request, &c->handle);
}

void sw_generation_begin(struct sw_generation *g, struct sw_scheduler *scheduler, bool *over)
{
    enum sw_status status = SW_OK;
    *over = false;
    for (int i = 0; i < g->n_choices && status == SW_OK; i++) {
        status = choice_submit(&g->choices[i], scheduler);
        g->n_left += status == SW_OK;
    }
    if (status != SW_OK) {
        sw_generation_cancel(g, scheduler, sw_api_error_status(status), sw_error_message());
        sw_error_clear();
        *over = g->n_left == 0;
    } else if (g->request.stream) {
        sw_exchange_begin_stream(g->x);
    }
}

void sw_generation_cancel(struct sw_generation *g, struct sw_scheduler *scheduler, int error,
                          const char *message)
{
    if (error)
        generation_set_error(g, error, message);
    for (int i = 0; i < g->n_choices; i++)
        if (g->choices[i].handle)
            sw_scheduler_cancel(scheduler, g->choices[i].handle);
}

void sw_generation_fail(struct sw_generation *g, int error, const char *message)
{
    generation_set_error(g, error, message);
}
