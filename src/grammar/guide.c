/* Owns texts that follow a grammar, and the grammars that they share. */
#include "grammar/guide.h"

#include "grammar/token_masks.h"

#include <stdlib.h>
#include <string.h>

#define SPARE_MAX 16 /* grammars that are kept though no text follows them */

/* A grammar with its tokens; the newest first. */
struct shared {
    struct shared *next;
    char *text; /* (n) */
    size_t n;
    int users;
    struct sw_grammar *grammar;
    struct sw_token_masks *masks;
};

struct sw_guides {
    struct sw_token_trie trie;
    struct shared *grammars;
    size_t kept; /* bytes that all masks keep */
};

struct sw_guide {
    struct sw_guides *guides;
    struct shared *shared;
    struct sw_matcher *matcher;
    int state, masked; /* now; the one of which `allowed` is, -1: none */
    int ended;
    size_t n_words;
    uint64_t *allowed;
};

enum sw_status sw_guides_open(const char *tokens, size_t n, struct sw_guides **out)
{
    struct sw_guides *g = calloc(1, sizeof *g);
    *out = NULL;
    if (!g)
        return sw_fail(SW_ENOMEM, "no memory for grammars");
    const enum sw_status status = sw_token_trie_make(&g->trie, tokens, n);
    if (status == SW_OK)
        *out = g;
    else
        sw_guides_close(g);
    return status;
}

static void shared_free(struct shared *s)
{
    sw_token_masks_close(s->masks);
    sw_grammar_free(s->grammar);
    free(s->text);
    free(s);
}

void sw_guides_close(struct sw_guides *g)
{
    if (!g)
        return;
    for (struct shared *next; g->grammars; g->grammars = next) {
        next = g->grammars->next;
        shared_free(g->grammars);
    }
    sw_token_trie_free(&g->trie);
    free(g);
}

/* Forgets the oldest grammars that nobody follows, beyond a few. */
static void guides_trim(struct sw_guides *g)
{
    int spare = 0;
    for (struct shared **at = &g->grammars; *at;) {
        struct shared *s = *at;
        if (s->users == 0 && ++spare > SPARE_MAX) {
            *at = s->next;
            shared_free(s);
        } else {
            at = &s->next;
        }
    }
}

static enum sw_status shared_make(struct sw_guides *g, const char *text, size_t n,
                                  struct shared **out)
{
    struct shared *s = calloc(1, sizeof *s);
    char *copy = malloc(n + 1);
    if (!s || !copy) {
        free(s);
        free(copy);
        return sw_fail(SW_ENOMEM, "no memory for a grammar");
    }
    memcpy(copy, text, n);
    *s = (struct shared){.text = copy, .n = n};
    enum sw_status status = sw_grammar_parse(text, n, &s->grammar);
    if (status == SW_OK)
        status = sw_token_masks_open(s->grammar, &g->trie, &g->kept, &s->masks);
    if (status != SW_OK) {
        shared_free(s);
        return status;
    }
    s->next = g->grammars;
    g->grammars = s;
    *out = s;
    return SW_OK;
}

static enum sw_status shared_find(struct sw_guides *g, const char *text, size_t n,
                                  struct shared **out)
{
    for (struct shared **at = &g->grammars; *at; at = &(*at)->next) {
        struct shared *s = *at;
        if (s->n != n || memcmp(s->text, text, n) != 0)
            continue;
        *at = s->next;
        s->next = g->grammars;
        g->grammars = s;
        *out = s;
        return SW_OK;
    }
    return shared_make(g, text, n, out);
}

enum sw_status sw_guide_open(struct sw_guides *guides, const char *grammar, size_t n,
                             struct sw_guide **out)
{
    struct sw_guide *g = calloc(1, sizeof *g);
    *out = NULL;
    if (!g)
        return sw_fail(SW_ENOMEM, "no memory for a grammar");
    g->guides = guides;
    g->masked = -1;
    g->n_words = (size_t)guides->trie.vocab / 64 + 1;
    g->allowed = malloc(g->n_words * sizeof *g->allowed);
    enum sw_status status = g->allowed ? shared_find(guides, grammar, n, &g->shared)
                                       : sw_fail(SW_ENOMEM, "no memory for a grammar");
    if (status == SW_OK) {
        g->shared->users++;
        status = sw_matcher_open(g->shared->grammar, &g->matcher);
    }
    if (status == SW_OK && (g->state = sw_matcher_start(g->matcher)) == SW_STATE_FAILED)
        status = sw_fail(SW_EINPUT, "the grammar is too ambiguous at its beginning");
    if (status == SW_OK)
        *out = g;
    else
        sw_guide_close(g);
    return status;
}

void sw_guide_close(struct sw_guide *g)
{
    if (!g)
        return;
    sw_matcher_close(g->matcher);
    if (g->shared) {
        g->shared->users--;
        guides_trim(g->guides);
    }
    free(g->allowed);
    free(g);
}

static enum sw_status guide_limit(void)
{
    return sw_fail(SW_EINPUT, "the text is nested too deeply for its grammar, or too ambiguous");
}

enum sw_status sw_guide_check(const char *text, size_t n)
{
    struct sw_grammar *grammar;
    struct sw_matcher *matcher;
    SW_TRY(sw_grammar_parse(text, n, &grammar));
    enum sw_status status = sw_matcher_open(grammar, &matcher);
    if (status == SW_OK && sw_matcher_start(matcher) == SW_STATE_FAILED)
        status = sw_fail(SW_EINPUT, "the grammar is too ambiguous at its beginning");
    sw_matcher_close(matcher);
    sw_grammar_free(grammar);
    return status;
}

enum sw_status sw_guide_stuck(void)
{
    return sw_fail(SW_EINPUT,
                   "no token of the model goes on as the grammar wants, or the text is nested "
                   "too deeply for it, or too ambiguous");
}

static void guide_allow_ends(struct sw_guide *g)
{
    const struct sw_token_trie *t = &g->guides->trie;
    for (int i = 0; i < t->n_ends; i++)
        g->allowed[t->ends[i] / 64] |= (uint64_t)1 << (t->ends[i] % 64);
}

static int guide_any(const struct sw_guide *g)
{
    for (size_t i = 0; i < g->n_words; i++)
        if (g->allowed[i])
            return 1;
    return 0;
}

enum sw_status sw_guide_allowed(struct sw_guide *g, const uint64_t **allowed)
{
    *allowed = g->allowed;
    if (g->masked == g->state)
        return SW_OK;
    if (sw_matcher_is_full(g->matcher) &&
        (g->state = sw_matcher_compact(g->matcher, g->state)) == SW_STATE_FAILED)
        return guide_limit();
    if (g->ended)
        memset(g->allowed, 0, g->n_words * sizeof *g->allowed);
    else
        SW_TRY(sw_token_masks_make(g->shared->masks, g->matcher, g->state, g->allowed));
    if (g->ended || sw_matcher_accepts(g->matcher, g->state))
        guide_allow_ends(g);
    g->masked = g->state;
    return guide_any(g) ? SW_OK
                        : sw_fail(SW_EINPUT, "no token of this model goes on as the grammar wants");
}

enum sw_status sw_guide_take(struct sw_guide *g, int32_t id)
{
    const struct sw_token_trie *t = &g->guides->trie;
    for (int i = 0; i < t->n_ends; i++)
        if (t->ends[i] == id) {
            g->ended = 1;
            g->masked = -1;
            return SW_OK;
        }
    if (id < 0 || id >= t->vocab || t->offsets[id] == t->offsets[id + 1])
        return sw_fail(SW_EINPUT, "token %d has no text for a grammar", id);
    int state = g->state;
    for (uint32_t i = t->offsets[id]; i < t->offsets[id + 1] && state > SW_STATE_DEAD; i++)
        state = sw_matcher_step(g->matcher, state, t->bytes[i]);
    if (state == SW_STATE_FAILED)
        return guide_limit();
    if (state == SW_STATE_DEAD)
        return sw_fail(SW_EINPUT, "token %d is not what the grammar wants", id);
    g->state = state;
    return SW_OK;
}
