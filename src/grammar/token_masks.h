/*
 * Which tokens may come next. Much of that depends only on the ops on top of a state's stacks, not
 * on what is below them: tokens that stay in the rule of these ops. So that is found out once for
 * each such group of ops and kept; tokens that leave the rule are tried on the state itself. Shared
 * by all texts of one grammar; calls take a lock.
 */
#ifndef SW_GRAMMAR_TOKEN_MASKS_H
#define SW_GRAMMAR_TOKEN_MASKS_H

#include "grammar/matcher.h"
#include "grammar/token_trie.h"

#define SW_MASKS_BYTES_MAX (64u << 20) /* what all grammars of a trie keep together */

struct sw_token_masks;
/* Both must outlive *out. `kept` counts the bytes of all grammars. SW_ENOMEM. The caller closes it.
 */
enum sw_status sw_token_masks_open(const struct sw_grammar *grammar,
                                   const struct sw_token_trie *trie, size_t *kept,
                                   struct sw_token_masks **out);
void sw_token_masks_close(struct sw_token_masks *masks);
/*
 * Sets the bits of the tokens that may follow, of `allowed` (vocab / 64 + 1), and clears the
 * others; tokens that end a text are not looked at. SW_EINPUT: a limit of the matcher. SW_ENOMEM.
 */
enum sw_status sw_token_masks_make(struct sw_token_masks *masks, struct sw_matcher *matcher,
                                   int state, uint64_t *allowed);

#endif
