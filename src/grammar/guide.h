/*
 * Keeps texts to their grammars, token by token: a guide is one text. Those of a vocabulary share
 * its tree of tokens and, with the same grammar, what was found out about it.
 */
#ifndef SW_GRAMMAR_GUIDE_H
#define SW_GRAMMAR_GUIDE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct sw_guides;
/* tokens (n): as token_trie.h has them. SW_EINPUT, SW_ENOMEM. The caller closes it after its
 * guides. */
enum sw_status sw_guides_open(const char *tokens, size_t n, struct sw_guides **out);
void sw_guides_close(struct sw_guides *guides);

/* Whether texts can be kept to the grammar, wherever that is done later. SW_EINPUT, SW_ENOMEM. */
enum sw_status sw_guide_check(const char *grammar, size_t n);

/* Fails with SW_EINPUT and the message of a text that could not go on. */
enum sw_status sw_guide_stuck(void);

struct sw_guide;
/* A text that begins. `grammar`: GBNF. SW_EINPUT: it is not valid. One thread at a time opens and
 * closes guides. */
enum sw_status sw_guide_open(struct sw_guides *guides, const char *grammar, size_t n,
                             struct sw_guide **out);
void sw_guide_close(struct sw_guide *guide);
/*
 * The ids that may come next: a bit for each, as sw_sampler_steer takes them, valid until the next
 * call. Ids that end a text are among them only where it may end. SW_EINPUT: none may, or a limit
 * of the matcher.
 */
enum sw_status sw_guide_allowed(struct sw_guide *guide, const uint64_t **allowed);
/* The id that came; one that was allowed. SW_EINPUT: another one. */
enum sw_status sw_guide_take(struct sw_guide *guide, int32_t id);

#endif
