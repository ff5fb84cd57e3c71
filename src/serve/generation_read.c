/* Owns the way from a body to a request for text. */
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "jobs/line_json.h"
#include "jobs/prompt_ids.h"
#include "jobs/record.h"
#include "serve/generation.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* What a request is that says nothing, as the OpenAI API has it. */
static struct sw_line_request read_defaults(enum sw_form form)
{
    struct sw_line_request r = {.served = true,
                                .n = 1,
                                .generation_prompt = true,
                                .max_tokens = form == SW_FORM_CHAT ? INT_MAX : 16,
                                .sampling = sw_sampling_default()};
    r.sampling.temperature = 1;
    return r;
}

static uint64_t read_random(void)
{
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = (uint64_t)time(NULL);
    return random;
}

static enum sw_status read_one(const struct sw_generation *g, const json_t *prompt,
                               struct sw_json_range list, struct sw_prompt *out)
{
    const struct sw_generation_rules *rules = g->rules;
    if (!json_is_string(prompt) && !json_is_array(prompt))
        return sw_fail(
            SW_EINPUT,
            "\"prompt\" must be a text, a list of token ids, or a list of either, not %s",
            sw_json_type(prompt));
    SW_TRY(sw_prompt_ids(prompt, list, rules->tokenizer, rules->vocab, &out->ids));
    if (out->ids.count > INT_MAX / 2)
        return sw_fail(SW_EINPUT, "the prompt has %zu tokens", out->ids.count);
    if (!g->request.echo)
        return SW_OK;
    if (json_is_string(prompt))
        sw_strbuf_append(&out->text, json_string_value(prompt), json_string_length(prompt));
    else if (rules->tokenizer)
        SW_TRY(sw_tokenizer_decode(rules->tokenizer, out->ids.items, out->ids.count,
                                   !g->request.special, &out->text));
    return out->text.failed ? sw_fail(SW_ENOMEM, "no memory for the prompt's text") : SW_OK;
}

static enum sw_status read_chat(const struct sw_generation *g, struct sw_prompt *out)
{
    const struct sw_line_request *r = &g->request;
    if (!g->rules->chat)
        return sw_fail(SW_EINPUT, "\"messages\": %s", g->rules->no_chat);
    const struct sw_chat_request chat = {.messages = r->messages,
                                         .tools = r->tools,
                                         .variables = r->variables,
                                         .add_generation_prompt =
                                             r->generation_prompt && !r->continue_final,
                                         .continue_final = r->continue_final};
    return sw_chat_encode(g->rules->chat, g->rules->tokenizer, &chat, &out->ids);
}

static bool read_is_list(const json_t *prompt)
{
    return json_is_array(prompt) && !json_is_integer(json_array_get(prompt, 0));
}

static enum sw_status read_prompts(struct sw_generation *g, struct sw_json_range list)
{
    const struct sw_line_request *r = &g->request;
    const bool many = r->prompt && read_is_list(r->prompt);
    const size_t n = many ? json_array_size(r->prompt) : 1;
    if (n * (size_t)r->n > SW_GENERATION_CHOICES_MAX)
        return sw_fail(SW_EINPUT, "%zu prompts, %d times each, are more than %d answers", n, r->n,
                       SW_GENERATION_CHOICES_MAX);
    g->prompts = calloc(n, sizeof *g->prompts);
    g->choices = calloc(n * (size_t)r->n, sizeof *g->choices);
    if (!g->prompts || !g->choices)
        return sw_fail(SW_ENOMEM, "no memory for %zu prompts", n);
    g->n_prompts = (int)n;
    g->n_choices = (int)n * r->n;
    for (int i = 0; i < g->n_choices; i++)
        g->choices[i] = (struct sw_choice){.g = g, .index = i};
    if (!r->prompt)
        return read_chat(g, &g->prompts[0]);
    for (size_t i = 0; i < n; i++)
        SW_TRY(read_one(g, many ? json_array_get(r->prompt, i) : r->prompt, list, &g->prompts[i]));
    return SW_OK;
}

/* What the model cannot do. */
static enum sw_status read_check(struct sw_generation *g)
{
    struct sw_line_request *r = &g->request;
    r->wrong = "echo";
    if (r->echo && g->rules->has_encoder)
        return sw_fail(SW_EINPUT, "\"echo\": an encoder-decoder's answer does not go on from its "
                                  "prompt");
    SW_TRY(sw_line_request_grammar(r, &g->grammar));
    r->wrong = "logit_bias";
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)r->logit_bias, name, value)
    {
        if (strtol(name, NULL, 10) >= g->rules->vocab)
            return sw_fail(SW_EINPUT, "\"logit_bias\": id %s; the model's are below %d", name,
                           g->rules->vocab);
    }
    r->wrong = NULL;
    return SW_OK;
}

/* From now on only ids are needed: the text of the body can be large. */
static void read_drop(struct sw_generation *g)
{
    static const char *const large[] = {
        "prompt", "messages", "tools", "chat_template_kwargs", "response_format", "grammar"};
    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++)
        (void)json_object_del(g->root, large[i]);
    g->request.prompt = g->request.messages = g->request.tools = g->request.variables = NULL;
    g->request.grammar = g->request.format = NULL;
    sw_strbuf_free(&g->x->body);
}

static enum sw_status read_all(struct sw_generation *g, enum sw_form form)
{
    const struct sw_line_request defaults = read_defaults(form);
    const struct sw_strbuf *body = &g->x->body;
    struct sw_line_json json = {0};
    const enum sw_status status =
        sw_line_json_read(body->text ? body->text : "", body->length, sw_line_request_knows, &json);
    g->root = json.root;
    SW_TRY(status);
    SW_TRY(sw_line_request_read_body(g->root, form, &defaults, &g->request));
    if (!g->request.seeded)
        g->request.sampling.seed = read_random();
    SW_TRY(read_check(g));
    return read_prompts(g, json.ids);
}

enum sw_status sw_generation_read(const struct sw_generation_rules *rules, enum sw_form form,
                                  struct sw_exchange *x, struct sw_generation **out, char param[64])
{
    struct sw_generation *g = calloc(1, sizeof *g);
    *out = NULL;
    param[0] = '\0';
    if (!g)
        return sw_fail(SW_ENOMEM, "no memory for a request");
    g->rules = rules;
    g->x = sw_exchange_keep(x);
    g->begun = sw_clock();
    g->created = (int64_t)time(NULL);
    snprintf(g->id, sizeof g->id, "%s-%016llx%08llx", form == SW_FORM_CHAT ? "chatcmpl" : "cmpl",
             (unsigned long long)read_random(), (unsigned long long)read_random() & 0xffffffff);
    const enum sw_status status = read_all(g, form);
    if (status != SW_OK) {
        snprintf(param, 64, "%s", g->request.wrong ? g->request.wrong : "");
        sw_generation_free(g);
        return status;
    }
    read_drop(g);
    *out = g;
    return SW_OK;
}
